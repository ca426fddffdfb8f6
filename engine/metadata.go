package engine

import (
	"github.com/wattline/wattline/engine/commit"
	"github.com/wattline/wattline/engine/identity"
)

// What an offset commit says beside the offset: package engine/commit.
type (
	// Metadata is everything that a recovery needs to make the same bytes again.
	Metadata = commit.Metadata
	// SnapshotRef names a snapshot on wattline.state.
	SnapshotRef = commit.SnapshotRef
	// BookChange says from which offset on readings were rated with which book.
	BookChange = commit.BookChange
	// Plan is a block that was closed and whose rows may be in ClickHouse.
	Plan = commit.Plan
)

// AppendMetadata appends the text form of m.
func AppendMetadata(dst []byte, m *Metadata) []byte { return commit.Append(dst, m) }

// ParseMetadata reads what AppendMetadata wrote, or the release before it; else commit.ErrMetadata.
func ParseMetadata(text string) (*Metadata, error) { return commit.Parse(text) }

// SessionID is the UUID that column session_id has.
type SessionID = identity.SessionID

// MaxChargePoint is the longest charge point identity, bytes.
const MaxChargePoint = identity.MaxChargePoint

// ParseSessionID reads the text of a UUID, with or without dashes.
func ParseSessionID(text string) (id SessionID, ok bool) { return identity.ParseSessionID(text) }
