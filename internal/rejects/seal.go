package rejects

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
)

const (
	sealedVersion = 1
	contentKey    = 32                   // bytes, AES-256
	wrapped       = 32 + contentKey + 16 // an X25519 key, the content key, a tag
	nonceSize     = 12
	tagSize       = 16
	perContentKey = 1 << 20 // messages: far below 2^32, where chance nonces begin to repeat
)

// info is bound into what HPKE seals.
const info = "wattline rejects 1"

// Producer seals the rejects that go through it and hands everything on. Safe for concurrent use.
type Producer struct {
	engine.Producer
	topic  string
	public *Public // nil: nothing is sealed, nothing but the clear part goes (Z1)

	// TooLarge says that a broker refused a record for its size. Set it before the first use. Default: nil, nobody knows.
	TooLarge func(error) bool

	mu   sync.Mutex
	aead cipher.AEAD
	head []byte // version and the sealed content key
	left int
}

// NewProducer returns a Producer that seals what goes to topic. A nil public: messages lose what may leave sealed alone.
func NewProducer(to engine.Producer, topic string, public *Public) *Producer {
	return &Producer{Producer: to, topic: topic, public: public}
}

// Produce implements engine.Producer. msgs are left as they are. Where the broker finds them too large they go without
// what is sealed.
func (p *Producer) Produce(ctx context.Context, topic string, partition int32, msgs []engine.Message) (int64, error) {
	if topic != p.topic || p.public == nil {
		return p.Producer.Produce(ctx, topic, partition, msgs)
	}
	out := make([]engine.Message, len(msgs))
	for i := range msgs {
		m := msgs[i]
		if len(m.Private) > 0 {
			sealed, err := p.seal(m.Key, m.Private)
			if err != nil {
				return 0, fmt.Errorf("seal reject %s: %w", m.Key, err)
			}
			m.Value, m.Private = reject.AppendSealed(nil, m.Value, p.public.ID, sealed), nil
		}
		out[i] = m
	}
	first, err := p.Producer.Produce(ctx, topic, partition, out)
	if err == nil || p.TooLarge == nil || !p.TooLarge(err) {
		return first, err
	}
	// The topic takes less than it should: what was rejected must not hold up what was rated.
	for i := range out {
		out[i].Value = msgs[i].Value
	}
	return p.Producer.Produce(ctx, topic, partition, out)
}

// seal seals plain as that of the record with key.
func (p *Producer) seal(key, plain []byte) ([]byte, error) {
	aead, head, err := p.current()
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(head)+nonceSize+len(plain)+tagSize)
	out = append(out, head...)
	out = append(out, make([]byte, nonceSize)...)
	nonce := out[len(head):]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(out, nonce, plain, key), nil
}

// current returns the content key in use; a new one now and then.
func (p *Producer) current() (cipher.AEAD, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		p.left--
		return p.aead, p.head, nil
	}
	key := make([]byte, contentKey)
	if _, err := rand.Read(key); err != nil {
		return nil, nil, err
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, nil, err
	}
	to, err := hpke.NewDHKEMPublicKey(p.public.key)
	if err != nil {
		return nil, nil, err
	}
	box, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), key)
	if err != nil {
		return nil, nil, err
	}
	p.aead, p.head, p.left = aead, append([]byte{sealedVersion}, box...), perContentKey-1
	return p.aead, p.head, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Errors of Open.
var (
	// ErrNoKey says that another key than those given opens it.
	ErrNoKey = errors.New("no private key given opens it")
	// ErrDamaged says that it is not what was sealed for this record.
	ErrDamaged = errors.New("what is sealed is damaged, or of another record")
)

// Open opens what was sealed of r. ErrNoKey, ErrDamaged.
func (p *Private) Open(r *reject.Record) (reject.Original, error) {
	var key *privateKey
	for i := range p.keys {
		if p.keys[i].id == r.KeyID {
			key = &p.keys[i]
		}
	}
	if key == nil {
		return reject.Original{}, fmt.Errorf("%w: it was sealed for key %s, given are %v", ErrNoKey, r.KeyID, p.IDs())
	}
	b := r.Sealed
	if len(b) < 1+wrapped+nonceSize+tagSize || b[0] != sealedVersion {
		return reject.Original{}, ErrDamaged
	}
	from, err := hpke.NewDHKEMPrivateKey(key.key)
	if err != nil {
		return reject.Original{}, fmt.Errorf("open reject: %w", err)
	}
	content, err := hpke.Open(from, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), b[1:1+wrapped])
	if err != nil || len(content) != contentKey {
		return reject.Original{}, ErrDamaged
	}
	aead, err := gcm(content)
	if err != nil {
		return reject.Original{}, fmt.Errorf("open reject: %w", err)
	}
	b = b[1+wrapped:]
	plain, err := aead.Open(nil, b[:nonceSize], b[nonceSize:], r.AppendKey(nil))
	if err != nil {
		return reject.Original{}, ErrDamaged
	}
	return reject.ParseOriginal(plain)
}
