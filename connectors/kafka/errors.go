package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// verdict is what to do about an error code.
type verdict int

const (
	fine      verdict = iota
	retry             // the same broker may do it later
	relocate          // somebody else leads or coordinates by now: look it up, then try again
	rangeTest         // the offset is outside the log: find out on which side
	unknown           // the topic is not known to that broker: moved, not yet made, or deleted
	regroup           // the group's generation or our membership has passed
	fenced            // another member has our instance id
	refused           // no retry helps
)

// classifyPartition judges the error code of a partition in an answer to Fetch, Produce or ListOffsets.
func classifyPartition(code kafkago.Error) verdict {
	switch code {
	case 0:
		return fine
	case kafkago.OffsetOutOfRange:
		return rangeTest
	case kafkago.UnknownTopicOrPartition, kafkago.UnknownTopicID, kafkago.InconsistentTopicID:
		return unknown
	case kafkago.NotLeaderForPartition, kafkago.LeaderNotAvailable, kafkago.ReplicaNotAvailable, kafkago.FencedLeaderEpoch,
		kafkago.UnknownLeaderEpoch, kafkago.KafkaStorageError, kafkago.BrokerNotAvailable, kafkago.NetworkException:
		return relocate
	case kafkago.RequestTimedOut, kafkago.OffsetNotAvailable, kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend,
		kafkago.ThrottlingQuotaExceeded, kafkago.Unknown, kafkago.PreferredLeaderNotAvailable:
		return retry
	}
	return refused
}

// classifyGroup judges the error code of a group's request: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit
// (a partition's code) and OffsetFetch.
func classifyGroup(code kafkago.Error) verdict {
	switch code {
	case 0:
		return fine
	case kafkago.NotCoordinatorForGroup, kafkago.GroupCoordinatorNotAvailable, kafkago.BrokerNotAvailable, kafkago.NetworkException:
		return relocate
	case kafkago.GroupLoadInProgress, kafkago.RequestTimedOut, kafkago.Unknown, kafkago.UnstableOffsetCommit, kafkago.ThrottlingQuotaExceeded,
		kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend, kafkago.KafkaStorageError:
		return retry
	case kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress, kafkago.MemberIDRequired:
		return regroup
	case kafkago.FencedInstanceID:
		return fenced
	case kafkago.UnknownTopicOrPartition:
		return unknown
	}
	return refused
}

// advice is what an operator can do about a code that no retry helps; "" when the code says it all.
func advice(code kafkago.Error) string {
	switch code {
	case kafkago.TopicAuthorizationFailed:
		return "; give this user the right to read (for output: write) the topic"
	case kafkago.GroupAuthorizationFailed:
		return "; give this user the right to read the group"
	case kafkago.ClusterAuthorizationFailed:
		return "; give this user the right on the cluster, or make the topics by hand"
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		return "; raise max.message.bytes of the topic, or lower kafka.Produce.MaxBatchBytes"
	case kafkago.InvalidSessionTimeout:
		return "; kafka.Group.SessionTimeout must lie between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
	case kafkago.InconsistentGroupProtocol:
		return "; the group id is used by another kind of consumer: choose another group id"
	case kafkago.GroupMaxSizeReached:
		return "; raise the broker's group.max.size"
	case kafkago.OffsetMetadataTooLarge:
		return "; set the broker's offset.metadata.max.bytes to 4096 or more"
	case kafkago.UnsupportedCompressionType:
		return "; choose another kafka.Produce.Compression"
	}
	return ""
}

// codeError wraps a broker's code with the advice for it.
func codeError(code kafkago.Error) error {
	return fmt.Errorf("%w%s", code, advice(code))
}

// backoff returns the pause before try n (from 1): 50 ms doubled each time up to most, less up to a quarter by
// chance, so that many clients do not come back at once.
func backoff(n int, most time.Duration) time.Duration {
	d := min(most, 50*time.Millisecond<<min(max(n-1, 0), 10))
	return d - rand.N(d/4+1)
}

// sleep waits for d or until ctx ends; then its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ErrNoMember says that a group has no engine of the name.
var ErrNoMember = errors.New("no member is called")

// ErrClosed means that the client or the group was closed.
var ErrClosed = errors.New("kafka client is closed")

// verdictOf judges err: by the broker's code if there is one in it, else it was the network and worth a retry. An end
// of the caller's context or of the client is refused.
func verdictOf(err error, classify func(kafkago.Error) verdict) verdict {
	var code kafkago.Error
	var setup *setupError
	switch {
	case err == nil:
		return fine
	case errors.As(err, &setup): // before the code, which may be in it
		if setup.final {
			return refused
		}
		return relocate
	case errors.As(err, &code):
		return classify(code)
	case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, errVersion):
		return refused
	}
	return relocate
}

// patience is a time that something may last.
type patience struct {
	limit time.Duration
	since time.Time
}

func newPatience(limit time.Duration) *patience { return &patience{limit: limit} }

// isOver starts the time at the first call and says whether it has run out.
func (p *patience) isOver() bool {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return time.Since(p.since) > p.limit
}
