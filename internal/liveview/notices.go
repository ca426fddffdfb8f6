package liveview

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Notices keeps the warnings and errors that were logged, for a view that has the screen to itself.
type Notices struct {
	mu    sync.Mutex
	lines []string
	total int
}

// NoticesKept is how many are kept.
const NoticesKept = 3

// noticeHandler hands records on, and notes warnings.
type noticeHandler struct {
	slog.Handler
	to    *Notices
	attrs []slog.Attr
}

// NewNotices returns a logger on h and what will have heard its warnings.
func NewNotices(h slog.Handler) (*slog.Logger, *Notices) {
	n := &Notices{}
	return slog.New(&noticeHandler{Handler: h, to: n}), n
}

// Handle implements slog.Handler.
func (h *noticeHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		var b strings.Builder
		b.WriteString(r.Time.Format("15:04:05 ") + r.Message)
		for _, a := range h.attrs {
			fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		}
		r.Attrs(func(a slog.Attr) bool {
			fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
			return true
		})
		h.to.add(b.String())
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *noticeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &noticeHandler{h.Handler.WithAttrs(attrs), h.to, append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup implements slog.Handler.
func (h *noticeHandler) WithGroup(name string) slog.Handler {
	return &noticeHandler{h.Handler.WithGroup(name), h.to, h.attrs}
}

func (n *Notices) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
	n.lines = n.lines[max(0, len(n.lines)-NoticesKept):]
	n.total++
}

// Newest returns the newest notices, oldest first, and how many there ever were.
func (n *Notices) Newest() ([]string, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.lines...), n.total
}
