package embedded

import (
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// helloQuery is what clickhouse-go asks first over HTTP.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// helloRevision is the protocol revision in which clickhouse-go expects the
// answer whatever the server says (its ClientTCPProtocolVersion).
const helloRevision = 54460

// isHello tells the driver's first query by its text; only the driver sends
// client_protocol_version, and only it wants the answer's odd encoding.
func isHello(sql, protocolVersion string) bool {
	return protocolVersion != "" && strings.TrimSuffix(strings.TrimSpace(sql), ";") == helloQuery
}

// appendHello appends the answer: one Native block of helloRevision. It reports
// revision 0, from which the driver concludes that all later blocks are plain
// Native, which is the only form that the library gives.
func appendHello(dst []byte, displayName, version, timezone string) ([]byte, error) {
	var name, ver, tz proto.ColStr
	var rev proto.ColUInt32
	name.Append(displayName)
	ver.Append(version)
	rev.Append(0)
	tz.Append(timezone)
	buf := proto.Buffer{Buf: dst}
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: 4, Rows: 1}
	err := block.EncodeBlock(&buf, helloRevision, []proto.InputColumn{
		{Name: "displayName()", Data: name},
		{Name: "version()", Data: ver},
		{Name: "revision()", Data: rev},
		{Name: "timezone()", Data: tz},
	})
	if err != nil {
		return dst, fmt.Errorf("embedded: encode hello: %w", err)
	}
	return buf.Buf, nil
}
