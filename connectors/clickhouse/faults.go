package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/wattline/wattline/engine/ends"
)

// ErrProtocol says that what answers does not speak the protocol that is configured: another port, or no
// ClickHouse at all. Trying again is in vain.
var ErrProtocol = errors.New("another protocol answers there")

// codeFault is what one of ClickHouse's error codes (src/Common/ErrorCodes.cpp) says of the store. Codes that are not
// here are FaultFailing.
func codeFault(code int32) (f ends.Fault, do string) {
	switch code {
	case 243: // NOT_ENOUGH_SPACE
		return ends.FaultFull, "make room on the disk of the store, or add one; inserts go on by themselves"
	case 252: // TOO_MANY_PARTS
		return ends.FaultTooManyParts, "let merges catch up: look for stuck merges and mutations in system.merges and system.mutations, and for disks that are too slow"
	case 241, 202, 439: // MEMORY_LIMIT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, CANNOT_SCHEDULE_TASK
		return ends.FaultOverloaded, "see what else runs (system.processes) and give the store more memory, or others less"
	case 159, 209: // TIMEOUT_EXCEEDED, SOCKET_TIMEOUT
		return ends.FaultSlow, "see what the store is busy with: disks, merges, other queries"
	case 210: // NETWORK_ERROR, between servers of a cluster
		return ends.FaultUnreachable, "see whether the servers of the cluster reach each other"
	case 164: // READONLY
		return ends.FaultReadOnly, "the user's profile has readonly set: take it off, or name another user in clickhouse.user"
	case 242, 225, 999: // TABLE_IS_READ_ONLY, NO_ZOOKEEPER, KEEPER_EXCEPTION
		return ends.FaultReadOnly, "the replica has lost ClickHouse Keeper: see that it runs and is reached, then SYSTEM RESTORE REPLICA if it stays so"
	case 192, 193, 194, 195, 516: // user, password
		return ends.FaultDenied, "correct clickhouse.user and its password, or the user in ClickHouse; a changed password file is read at the next start"
	case 291, 392, 497: // rights
		return ends.FaultDenied, "grant the user SELECT, INSERT, CREATE, ALTER on the database, and KILL QUERY (docs/CONFIG.md)"
	case 60, 81, 218: // UNKNOWN_TABLE, UNKNOWN_DATABASE, TABLE_IS_DROPPED
		return ends.FaultSchema, "a table of ours is gone: stop the engines, restore it from a backup, and see docs/runbook/store-schema.md before `wattline migrate`"
	case 10, 16, 20, 44, 47, 50, 53: // columns and types
		return ends.FaultSchema, "the tables are not those of this release: undo what was altered by hand, or run `wattline migrate` of the newest release in use"
	}
	return ends.FaultFailing, "see the store's own log"
}

// fullSigns are what a disk without room says, in whatever code ClickHouse reports it.
func fullSigns() []string {
	return []string{"No space left on device", "Disk quota exceeded", "File too large", "NOT_ENOUGH_SPACE", "Cannot reserve"}
}

// faultOf judges err; nil for the end of the caller's context, which says nothing about the store.
func faultOf(err error) *ends.FaultError {
	fault := func(f ends.Fault, do string) *ends.FaultError {
		return &ends.FaultError{Fault: f, Do: do, Err: err}
	}
	var ex *ch.Exception
	var he *ch.HTTPError
	var ne net.Error
	var op *net.OpError
	const away = "see whether the store runs and is reached at clickhouse.addr"
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &ex):
		f, do := codeFault(ex.Code)
		if f == ends.FaultFailing && slices.ContainsFunc(fullSigns(), func(s string) bool { return strings.Contains(ex.Message, s) }) {
			f, do = codeFault(243)
		}
		return fault(f, do)
	case errors.As(err, &he):
		switch he.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			f, do := codeFault(516)
			return fault(f, do)
		case http.StatusTooManyRequests:
			f, do := codeFault(202)
			return fault(f, do)
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return fault(ends.FaultUnreachable, "a proxy answers for the store: see whether the store behind it runs")
		}
		return fault(ends.FaultFailing, "see the store's own log")
	case errors.As(err, &op) && op.Op == "dial":
		return fault(ends.FaultUnreachable, away)
	case errors.Is(err, ch.ErrAcquireConnTimeout):
		return fault(ends.FaultSlow, "all connections wait for the store: see what it is busy with")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fault(ends.FaultSlow, "it took the request and did not answer in time: see whether it hangs, is stopped, or the network drops what it says")
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fault(ends.FaultUnreachable, away)
	}
	return fault(ends.FaultFailing, "see the store's own log")
}

// otherProtocol says by the driver's texts, there is no error of its own for that, whether err is an answer in the other
// protocol's language, and what to do; "" if it is not. EOF and the like are not among them: a server that is starting says so too.
func otherProtocol(p Protocol, addr string, err error) (hint string) {
	var ex *ch.Exception
	if err == nil || errors.As(err, &ex) {
		return ""
	}
	text := err.Error()
	has := func(signs ...string) bool {
		return slices.ContainsFunc(signs, func(s string) bool { return strings.Contains(text, s) })
	}
	switch {
	case p == Native && has("handshake") && speaksHTTP(addr):
		return "it is the port of protocol http (is clickhouse.protocol right?)"
	case p == HTTP && has("malformed HTTP", "is for clickhouse-client"), p == Native && has("[handshake] unexpected packet"):
		return fmt.Sprintf("it is not protocol %s (is clickhouse.protocol right?)", p)
	}
	return ""
}

// speaksHTTP says whether addr answers HTTP. An HTTP server may wait for ever for the rest of a native greeting, so that
// silence alone would not tell it from a server that hangs.
func speaksHTTP(addr string) bool {
	const patience = 2 * time.Second
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience)) // a connection without one answers, or is closed by the other side
	if _, err := io.WriteString(c, "GET /ping HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	answer, _ := io.ReadAll(io.LimitReader(c, 1024)) // what came before an error counts
	return strings.HasPrefix(string(answer), "HTTP/") && !strings.Contains(string(answer), "is for clickhouse-client")
}
