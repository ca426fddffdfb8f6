package file

import (
	"os"
	"path/filepath"

	"github.com/wattline/wattline/engine"
)

// Writer writes blocks of an engine as charges.parquet and sessions.parquet. One goroutine uses it.
type Writer struct {
	dir      string
	charges  *table[chargeRows]
	sessions *table[sessionRows]
}

// NewWriter begins the two files in the folder dir, which it makes; they are called *.part until End. Errors: of the
// file system. Nothing is left then.
func NewWriter(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir}
	var err error
	if w.charges, err = newTable(filepath.Join(dir, ChargesFile), chargeColumns()); err != nil {
		return nil, w.End(err)
	}
	if w.sessions, err = newTable(filepath.Join(dir, SessionsFile), sessionColumns()); err != nil {
		return nil, w.End(err)
	}
	return w, nil
}

// Append writes the rows of a block. It keeps none of them.
func (w *Writer) Append(b *engine.Block) error {
	of := blockOf{b.Row.Partition, b.Row.First}
	for i := range b.Charges {
		if err := w.charges.append(&chargeRows{of, &b.Charges[i]}, len(b.Charges[i].Position)); err != nil {
			return err
		}
	}
	for i := range b.Sessions {
		if err := w.sessions.append(&sessionRows{of, &b.Sessions[i]}, len(b.Sessions[i].Version)); err != nil {
			return err
		}
	}
	return nil
}

// End makes the files whole and gives them their names, or, after an error, removes them (F5). It returns the first
// error, which may be err.
func (w *Writer) End(err error) error {
	if w.charges != nil {
		err = w.charges.end(err)
	}
	if w.sessions != nil {
		err = w.sessions.end(err)
	}
	for _, name := range []string{ChargesFile, SessionsFile} {
		err = rename(filepath.Join(w.dir, name), err)
	}
	return err
}

// rename gives a *.part its name, or removes it after an error. It returns the first error.
func rename(name string, err error) error {
	if err != nil {
		_ = os.Remove(name + ".part") // the first error is the one to tell
		return err
	}
	return os.Rename(name+".part", name)
}
