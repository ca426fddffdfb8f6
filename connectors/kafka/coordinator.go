package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// coordinator is the broker that keeps the group. It is looked up once and again when it says that it is not.
type coordinator struct {
	c     *Client
	group string

	mu      sync.Mutex
	address string // "" while not known
}

// ask sends msg to the coordinator. Every error, also one in the answer's top-level code, comes back as error; one
// after which another broker may be the coordinator makes the next call look it up.
func (o *coordinator) ask(ctx context.Context, msg protocol.Message, extra time.Duration) (protocol.Message, error) {
	return o.send(ctx, &call{msg: msg}, extra, topCode)
}

// send sends what r carries and reads the answer's code with codeOf; see ask.
func (o *coordinator) send(ctx context.Context, r *call, extra time.Duration, codeOf func(protocol.Message) kafkago.Error) (protocol.Message, error) {
	address, err := o.find(ctx)
	if err != nil {
		return nil, err
	}
	res, err := o.c.send(ctx, address, r, extra)
	if err == nil {
		if code := codeOf(res); code != 0 {
			err = fmt.Errorf("%s of group %s at broker %s: %w", r.msg.ApiKey(), o.group, address, codeError(code))
		}
	}
	if verdictOf(err, classifyGroup) == relocate {
		o.forget(address)
	}
	return res, err
}

// Kafka-go reads the answers to Heartbeat and LeaveGroup with the error code and the throttle time swapped, so that
// no error is ever seen (v0.4.51). Both are read here; version 3 is the first with an instance id.
const fixedGroupVersion = 3

// beat sends a heartbeat.
func (o *coordinator) beat(ctx context.Context, req *heartbeat.Request) error {
	var code kafkago.Error
	_, err := o.send(ctx, &call{msg: req, fixed: fixedGroupVersion, answer: func(w *wireReader) {
		w.int32() // throttle time
		code = kafkago.Error(w.int16())
	}}, 0, func(protocol.Message) kafkago.Error { return code })
	return err
}

// leave takes one member out of the group.
func (o *coordinator) leave(ctx context.Context, memberID, instanceID string) error {
	var code kafkago.Error
	_, err := o.send(ctx, &call{
		msg:   &leavegroup.Request{GroupID: o.group, Members: []leavegroup.RequestMember{{MemberID: memberID, GroupInstanceID: instanceID}}},
		fixed: fixedGroupVersion,
		answer: func(w *wireReader) {
			w.int32() // throttle time
			code = kafkago.Error(w.int16())
			for range w.count(6) {
				_, _ = w.string(), w.string() // member and instance id
				if member := kafkago.Error(w.int16()); code == 0 {
					code = member
				}
			}
		},
	}, 0, func(protocol.Message) kafkago.Error { return code })
	return err
}

// RemoveMember takes an engine out of a group from outside, by its instance id, so that the group gives its partitions
// away at once instead of keeping them until its session ends. ErrNoMember: the group has none of that name. What can be
// tried again is, until ctx ends.
func (c *Client) RemoveMember(ctx context.Context, group, instanceID string) error {
	o := &coordinator{c: c, group: group}
	for try := 1; ; try++ {
		err := o.leave(ctx, "", instanceID)
		var code kafkago.Error
		switch v := verdictOf(err, classifyGroup); {
		case err == nil:
			return nil
		case errors.As(err, &code) && code == kafkago.UnknownMemberId:
			return fmt.Errorf("group %s: %w %q: its session has ended, it has left, or the name is another", group, ErrNoMember, instanceID)
		case v != retry && v != relocate || sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil:
			return fmt.Errorf("take engine %s out of group %s: %w", instanceID, group, err)
		}
	}
}

// topCode returns the error code of an answer as a whole; answers with codes in their parts alone have none.
func topCode(res protocol.Message) kafkago.Error {
	switch r := res.(type) {
	case *joingroup.Response:
		return kafkago.Error(r.ErrorCode)
	case *syncgroup.Response:
		return kafkago.Error(r.ErrorCode)
	case *offsetfetch.Response:
		return kafkago.Error(r.ErrorCode)
	}
	return 0
}

func (o *coordinator) find(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.address != "" {
		return o.address, nil
	}
	res, err := o.c.do(ctx, anyBroker, &findcoordinator.Request{Key: o.group}, 0)
	if err != nil {
		return "", err
	}
	r := res.(*findcoordinator.Response)
	if r.ErrorCode != 0 {
		return "", fmt.Errorf("find coordinator of group %s: %w %s", o.group, codeError(kafkago.Error(r.ErrorCode)), r.ErrorMessage)
	}
	o.address = net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
	return o.address, nil
}

// forget makes the next request look the coordinator up, unless somebody did already.
func (o *coordinator) forget(address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.address == address {
		o.address = ""
	}
}
