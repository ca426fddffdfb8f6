package parts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Errors that a caller may want to tell apart. All come wrapped, with the file or tool they are about.
var (
	// ErrChecksum: a downloaded or cached file is not the one that package deploy names.
	ErrChecksum = errors.New("checksum differs")
	// ErrMissing: a program is not installed and could not be installed here; the text says what to type.
	ErrMissing = errors.New("not installed")
	// ErrUnsupported: there is no pinned build of the part for this platform.
	ErrUnsupported = errors.New("no pinned build for this platform")
)

// Options say where parts are kept and who hears of the progress. The zero value works.
type Options struct {
	// CacheDir is where parts are kept, shared by all clones of a user and never cleaned by us.
	// Default: os.UserCacheDir()/wattline/parts.
	CacheDir string
	// Progress is told what is being done, from the caller's goroutine or another, never from two at once.
	// Default: nobody is told.
	Progress Progress
	// Verify reads every byte of a cached part again; without it a cached libchdb is only compared by size
	// (the jars of Kafka are few bytes and always read). Default: false. Costs about a second.
	Verify bool
}

func (o Options) cacheDir() (string, error) {
	if o.CacheDir != "" {
		return o.CacheDir, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder for parts: %w", err)
	}
	return filepath.Join(base, "wattline", "parts"), nil
}

func (o Options) report(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}
