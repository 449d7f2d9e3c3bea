package telemetry

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Record is one line of a log.
type Record struct {
	Time       time.Time
	Level      slog.Level
	Message    string
	Attributes []Attribute
}

// Attribute is an attribute of a Record as text.
type Attribute struct{ Key, Value string }

// Limits of a Record, so that one fits into a message of 64 KiB. What is more is cut.
const (
	MaxAttributes = 16
	MaxText       = 2 << 10 // bytes of a message or value
	MaxKey        = 128     // bytes of a key
)

// Records keeps the newest records of a log in memory. Whoever logs never waits for a reader.
type Records struct {
	limit int // bytes

	mu    sync.Mutex
	kept  []Record
	first uint64 // the number of kept[0]; the first record ever has 0
	size  int    // bytes of kept
	added chan struct{}
}

// Keep returns a logger that does what log does, and keeps the newest records that log writes, of at most limit bytes.
func Keep(log *slog.Logger, limit int) (*slog.Logger, *Records) {
	r := &Records{limit: limit}
	return slog.New(&keeper{inner: log.Handler(), records: r}), r
}

// keeper is a slog.Handler that passes records on, and keeps them.
type keeper struct {
	inner   slog.Handler
	records *Records
	prefix  string      // of the present groups
	own     []Attribute // of the logger
}

// Enabled implements slog.Handler. What the log leaves out is not kept.
func (k *keeper) Enabled(ctx context.Context, level slog.Level) bool {
	return k.inner.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (k *keeper) Handle(ctx context.Context, line slog.Record) error {
	r := Record{Time: line.Time, Level: line.Level, Message: cut(line.Message, MaxText), Attributes: slices.Clone(k.own)}
	line.Attrs(func(a slog.Attr) bool {
		r.Attributes = flatten(r.Attributes, k.prefix, a)
		return true
	})
	k.records.add(r)
	return k.inner.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (k *keeper) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *k
	next.inner, next.own = k.inner.WithAttrs(attrs), slices.Clone(k.own)
	for _, a := range attrs {
		next.own = flatten(next.own, k.prefix, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (k *keeper) WithGroup(name string) slog.Handler {
	next := *k
	if next.inner = k.inner.WithGroup(name); name != "" {
		next.prefix += name + "."
	}
	return &next
}

// flatten adds an attribute with the text that the log has of it, and the attributes of a group one by one.
func flatten(all []Attribute, prefix string, a slog.Attr) []Attribute {
	value := a.Value.Resolve() // a secret resolves to a text that hides it
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, below := range value.Group() {
			all = flatten(all, prefix, below)
		}
		return all
	}
	if a.Equal(slog.Attr{}) || len(all) == MaxAttributes {
		return all
	}
	return append(all, Attribute{cut(prefix+a.Key, MaxKey), cut(textOf(value), MaxText)})
}

// textOf returns the text of a value as slog.TextHandler has it.
func textOf(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		switch a := v.Any().(type) {
		case encoding.TextMarshaler:
			text, err := a.MarshalText()
			if err != nil {
				return "!ERROR:" + err.Error()
			}
			return string(text)
		case []byte:
			return string(a)
		}
		return fmt.Sprintf("%+v", v.Any())
	}
	return v.String()
}

// cut returns at most limit bytes of a text. What is cut is not kept in memory.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.Clone(begin(s, limit))
}

// bytes returns how much memory a record needs. The text of a message may be shared, and counts all the same.
func (r *Record) bytes() int {
	const record, attribute = 144, 32 // on a machine of 64 bits, with the room that a slice has ahead
	n := record + len(r.Message)
	for _, a := range r.Attributes {
		n += attribute + len(a.Key) + len(a.Value)
	}
	return n
}

// add keeps a record in the place of the oldest ones.
func (r *Records) add(record Record) {
	record.Attributes = slices.Clip(record.Attributes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, record)
	r.size += record.bytes()
	for r.size > r.limit && len(r.kept) > 1 {
		r.size -= r.kept[0].bytes()
		r.kept[0] = Record{}
		r.kept = r.kept[1:]
		r.first++
	}
	if r.added != nil {
		close(r.added)
		r.added = nil
	}
}

// page is a part of the records that are kept.
type page struct {
	records []Record
	next    uint64          // the number after the last record
	missed  uint64          // how many records before the first one were asked for, and are not kept any more
	more    <-chan struct{} // nil: there are more records; else closed when there are
}

// from returns at most limit bytes of records from a number on, at least one if there is one.
func (r *Records) from(number uint64, limit int) (p page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.first {
		p.missed, number = r.first-number, r.first
	}
	rest := r.kept[number-r.first:]
	n := 0
	for size := 0; n < len(rest) && (n == 0 || size+rest[n].bytes() <= limit); n++ {
		size += rest[n].bytes()
	}
	if p.records, p.next = slices.Clone(rest[:n]), number+uint64(n); n < len(rest) {
		return p
	}
	if r.added == nil {
		r.added = make(chan struct{})
	}
	p.more = r.added
	return p
}

// span returns the number of the oldest record, and the number after the newest one.
func (r *Records) span() (first, end uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.first + uint64(len(r.kept))
}

// Query chooses records.
type Query struct {
	Level  slog.Level    // at least
	Since  time.Duration // before now; 0: since the oldest
	Tail   int           // the newest ones alone; negative: all
	Follow bool          // go on with those that come
	// Kind, Namespace and Name choose records about an object. Empty: of any.
	Kind, Namespace, Name string

	after time.Time // of Since
}

const (
	batchBytes = 24 << 10               // of the records of one batch, so that its message has at most 64 KiB
	batchPause = 100 * time.Millisecond // between two batches that are followed
)

// Read sends the records that a query chooses, the oldest first, in batches, the first of which may be empty. If the
// query follows, Read goes on until ctx ends. A reader that is slower than the log loses records: lost is how many are
// missing before a batch, whether the query would choose them or not.
func (r *Records) Read(ctx context.Context, q Query, send func(batch []Record, lost uint64) error) error {
	if q.Since > 0 {
		q.after = time.Now().Add(-q.Since)
	}
	number, end := r.span()
	if q.Tail >= 0 {
		number = r.tail(q, number, end)
	}
	for first := true; ; first = false {
		p := r.from(number, batchBytes)
		if first {
			p.missed = 0 // nobody has asked for them yet
		}
		batch := slices.DeleteFunc(p.records, func(record Record) bool { return !q.chooses(&record) })
		if first || len(batch) > 0 || p.missed > 0 {
			if err := send(batch, p.missed); err != nil {
				return err
			}
		}
		if number = p.next; number >= end && !q.Follow {
			return nil
		}
		if p.more == nil {
			continue
		}
		if err := pause(ctx, p.more); err != nil {
			return err
		}
	}
}

// pause waits for the next record, and then for those that follow it at once.
func pause(ctx context.Context, more <-chan struct{}) error {
	select {
	case <-more:
	case <-ctx.Done():
		return ctx.Err()
	}
	timer := time.NewTimer(batchPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tail returns the number of the oldest of the q.Tail newest records before end that the query chooses.
func (r *Records) tail(q Query, first, end uint64) uint64 {
	p := r.from(first, math.MaxInt)
	number := end
	for i, left := len(p.records)-1, q.Tail; i >= 0 && left > 0; i-- {
		if n := p.next - uint64(len(p.records)-i); n < end && q.chooses(&p.records[i]) {
			number = n
			left--
		}
	}
	return number
}

// chooses reports whether a query chooses a record.
func (q *Query) chooses(r *Record) bool {
	return r.Level >= q.Level && !r.Time.Before(q.after) && (q.Name == "" || slices.ContainsFunc(r.Attributes, q.names))
}

// names reports whether an attribute names the object of a query.
func (q *Query) names(a Attribute) bool {
	text := a.Value
	switch a.Key {
	case "cluster":
		text = "Cluster " + text
	case "object", "application":
	default:
		return false
	}
	text, _, _ = strings.Cut(text, " on ") // a cluster
	kind, path, ok := strings.Cut(text, " ")
	namespace, name, namespaced := strings.Cut(path, "/")
	if !namespaced {
		namespace, name = "", path
	}
	short, _, _ := strings.Cut(kind, ".") // its group follows
	return ok && name == q.Name && (strings.EqualFold(kind, q.Kind) || strings.EqualFold(short, q.Kind)) &&
		(q.Namespace == "" || namespace == q.Namespace)
}
