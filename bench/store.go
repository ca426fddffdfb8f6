package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse/embedded"
)

// storeSpec is what the store's process is told.
type storeSpec struct {
	Library string `json:"library"` // path of libchdb
	Dir     string `json:"dir"`     // for the data
}

// storeReady is what it answers.
type storeReady struct {
	Addr     string `json:"addr"`
	Password string `json:"password"`
	Version  string `json:"version"`
}

// storeChild is ClickHouse in a process of its own, with the settings of `wattline store`.
func storeChild(ctx context.Context, in *json.Decoder, out *json.Encoder) error {
	var spec storeSpec
	if err := in.Decode(&spec); err != nil {
		return fmt.Errorf("read the store's orders: %w", err)
	}
	ctx, cancel := untilEOF(ctx, in)
	defer cancel()
	srv, err := embedded.Start(ctx, embedded.Config{LibraryPath: spec.Library, DataDir: spec.Dir, Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	err = out.Encode(storeReady{Addr: srv.Addr(), Password: srv.Password(), Version: srv.Version()})
	if err == nil {
		<-ctx.Done()
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer done()
	if cerr := srv.Close(stop); cerr != nil {
		return cerr
	}
	return err
}
