package verify

import (
	"fmt"

	"github.com/wattline/wattline/engine"
)

// Check names what a Finding is about. The names are stable: scripts and the runbook know them.
type Check string

// The checks.
const (
	CheckTiling     Check = "tiling"     // blocks follow each other without gap or overlap, none is there twice
	CheckBlock      Check = "block"      // a block's row is sane in itself and against the one before
	CheckSums       Check = "sums"       // charges holds what the block's row says
	CheckVersions   Check = "versions"   // sessions got what the block's row says
	CheckOrphan     Check = "orphan"     // charges or sessions holds rows of a block that has no row
	CheckDoubled    Check = "doubled"    // two rows have the same session, position and line
	CheckProjection Check = "projection" // projections equal their base
	CheckAccrued    Check = "accrued"    // the newest version says what the session's rows add up to
	CheckRemade     Check = "remade"     // the block made again from the topic is the same
	CheckSession    Check = "session"    // topic and ledger have the same sessions, versions and tariffs
	CheckQuantity   Check = "quantity"   // energy and time of a session's rows are those of its readings
	CheckAmount     Check = "amount"     // a session's rows cost what the oracle says
	CheckPrice      Check = "price"      // the price in the newest version is the oracle's
	CheckTopic      Check = "topic"      // the topic has the offsets that the ledger knows of
	CheckReference  Check = "reference"  // the reference log has the books and tariffs that the ledger names
)

// Finding is one thing that is not as it must be.
type Finding struct {
	Check     Check  `json:"check"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Block     int64  `json:"block"`             // first offset; -1: of no block
	Session   string `json:"session,omitempty"` // UUID
	Found     string `json:"found"`
	Want      string `json:"want"`
	Look      string `json:"look,omitempty"` // SQL that shows it
}

func (f Finding) String() string {
	where := ""
	if f.Topic != "" {
		where = fmt.Sprintf(" %s/%d", f.Topic, f.Partition)
	}
	if f.Block >= 0 {
		where += fmt.Sprintf(" block %d", f.Block)
	}
	if f.Session != "" {
		where += " session " + f.Session
	}
	text := fmt.Sprintf("%s%s: found %s, want %s", f.Check, where, f.Found, f.Want)
	if f.Look != "" {
		text += "\n    " + f.Look
	}
	return text
}

// Report is what a run found out.
type Report struct {
	Partitions int64 `json:"partitions"`
	Blocks     int64 `json:"blocks"`
	Compared   int64 `json:"compared"` // blocks whose rows were added up and compared, of both tables
	Rows       int64 `json:"rows"`     // of charges, as the blocks say
	Versions   int64 `json:"versions"` // of sessions, the same
	Sessions   int64 `json:"sessions"` // in the ledger
	Messages   int64 `json:"messages"` // read again from the topic
	Remade     int64 `json:"remade"`   // blocks made again and compared
	Ended      int64 `json:"ended"`    // ended sessions priced by the oracle
	Running    int64 `json:"running"`  // running ones
	Held       int64 `json:"held"`     // sampled, without a price yet

	Skipped map[string]int64 `json:"skipped,omitempty"` // sampled sessions and blocks that could not be judged, by reason
	Seed    uint64           `json:"seed"`              // of the sample

	Found    map[Check]int64 `json:"found"`    // how many findings of each check
	Findings []Finding       `json:"findings"` // Config.List of each check and partition at most
}

// OK says that nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Summary is the report in a line.
func (r *Report) Summary() string {
	verdict := "all proven"
	switch {
	case r.OK() && r.Blocks == 0:
		return fmt.Sprintf("nothing to prove: %d partitions, no offset committed and no row in the ledger of any", r.Partitions)
	case !r.OK():
		n := int64(0)
		for _, v := range r.Found {
			n += v
		}
		verdict = fmt.Sprintf("%d FINDINGS", n)
	}
	return fmt.Sprintf("%s: %d partitions, %d blocks (%d made again), %d rows, %d sessions; of %d messages %d ended and %d running sessions priced by the oracle, %d held",
		verdict, r.Partitions, r.Blocks, r.Remade, r.Rows, r.Sessions, r.Messages, r.Ended, r.Running, r.Held)
}

// Scope says in a few lines what was compared with what.
func (r *Report) Scope() []string {
	if r.Blocks == 0 {
		return nil
	}
	return []string{
		fmt.Sprintf("blocks    %d follow each other in %d partitions, up to the committed offsets", r.Blocks, r.Partitions),
		fmt.Sprintf("tables    sums of %d blocks in charges (%d rows) and in sessions (%d versions), against the blocks' own rows; keys of all rows, for doubled ones; projections", r.Compared, r.Rows, r.Versions),
		fmt.Sprintf("sessions  %d newest versions, against the sums of their rows", r.Sessions),
		fmt.Sprintf("topic     %d blocks made again from %d messages, against their checksums", r.Remade, r.Messages),
		fmt.Sprintf("money     %d ended and %d running sessions priced by the oracle, against rows and versions (%d held have no price; sample %d)", r.Ended, r.Running, r.Held, r.Seed),
	}
}

// add notes a finding; of each check and partition only the first ones are kept word by word.
func (r *Report) add(f Finding, list int, kept map[string]int) {
	r.Found[f.Check]++
	k := fmt.Sprintf("%s %s/%d", f.Check, f.Topic, f.Partition)
	if kept[k]++; kept[k] <= list {
		r.Findings = append(r.Findings, f)
	}
}

func (v *run) found(c Check, p engine.Partition, block int64, session, found, want, look string) {
	v.report.add(Finding{
		Check: c, Topic: p.Topic, Partition: p.Number, Block: block, Session: session, Found: found, Want: want, Look: look,
	}, v.cfg.List, v.kept)
}
