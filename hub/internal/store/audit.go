package store

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// AuditClass is the part of the audit log that an entry belongs to. Each class has a limit of its own, so that renewals
// of certificates and refused calls never displace the changes of operators.
type AuditClass string

// The classes of the audit log.
const (
	AuditChange      AuditClass = "change"      // what an operator, or the hub for one, changed
	AuditCertificate AuditClass = "certificate" // certificates that were issued to clusters
	AuditDenied      AuditClass = "denied"      // calls that were refused
)

// auditLimits has, for each class, how many objects its entries may have together; an entry without an object counts
// as one. There is no limit of age: if the clock were ahead once, everything would be too old.
var auditLimits = map[AuditClass]int{AuditChange: 100_000, AuditCertificate: 20_000, AuditDenied: 5_000}

// Limits of one entry.
const (
	maxAuditObjects = 100 // further ones are in entries of their own
	maxAuditText    = 300 // bytes
)

// AuditEntry is one thing that a caller did, or was not allowed to do. It never has a value of an object.
type AuditEntry struct {
	Time    time.Time       `json:"time"`
	By      string          `json:"by"`               // SPIFFE ID of the caller
	Serial  string          `json:"serial,omitempty"` // of the caller's certificate
	Verb    string          `json:"verb"`
	Objects []AuditedObject `json:"objects,omitempty"`
	Denied  string          `json:"denied,omitempty"` // why; empty: it was done
}

// AuditedObject is an object of an AuditEntry.
type AuditedObject struct {
	Key    api.Key `json:"key"`
	Change string  `json:"change,omitempty"` // in short, without values that may be secret
}

// weight returns how much of its class's limit the entry needs.
func (e AuditEntry) weight() int { return max(1, len(e.Objects)) }

// auditLog has the entries by class and number, auditCounters one row.
var (
	auditLog      = newTable[AuditEntry]("audit", ofHub)
	auditCounters = newTable[auditCount]("audit.count", ofHub)
)

const auditCountKey = "count"

// auditCount counts the entries ever made, and the weight of those that are kept.
type auditCount struct {
	Ever uint64             `json:"ever"`
	Kept map[AuditClass]int `json:"kept"`
}

// auditKey returns the key of the entry with a number.
func auditKey(class AuditClass, number uint64) string { return fmt.Sprintf("%s/%016x", class, number) }

// Audit adds an entry to the audit log. An entry with many objects becomes several. The oldest entries of the class
// that are too many are deleted.
func Audit(tx *Tx, class AuditClass, e AuditEntry) error {
	count, ok, err := auditCounters.GetIntact(tx, auditCountKey)
	if err == nil && !ok {
		count, err = countAudit(tx)
	}
	if err != nil {
		return err
	}
	e.Time = e.Time.UTC()
	e.Verb, e.Denied = cutText(e.Verb), cutText(e.Denied)
	for first, rest := true, e.Objects; first || len(rest) > 0; first = false {
		n := min(len(rest), maxAuditObjects)
		e.Objects = slices.Clone(rest[:n])
		for i := range e.Objects {
			e.Objects[i].Change = cutText(e.Objects[i].Change)
		}
		rest = rest[n:]
		count.Ever++
		count.Kept[class] += e.weight()
		if err := auditLog.Put(tx, auditKey(class, count.Ever), e); err != nil {
			return err
		}
	}
	if err := trimAudit(tx, class, &count); err != nil {
		return err
	}
	return auditCounters.Put(tx, auditCountKey, count)
}

// trimAudit deletes the oldest entries of a class until its limit holds.
func trimAudit(tx *Tx, class AuditClass, count *auditCount) error {
	for count.Kept[class] > auditLimits[class] {
		rows, _, err := auditLog.page(tx, string(class)+"/", "", 100, ignoreDamaged)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if count.Kept[class] <= auditLimits[class] {
				break
			}
			if err := auditLog.Delete(tx, row.Key); err != nil {
				return err
			}
			count.Kept[class] -= row.Value.weight()
		}
	}
	return nil
}

// countAudit counts the entries anew, because their count is missing or damaged.
func countAudit(tx *Tx) (auditCount, error) {
	count := auditCount{Kept: map[AuditClass]int{}}
	note := func(key string, weight int) {
		class, number := splitAuditKey(key)
		count.Ever, count.Kept[class] = max(count.Ever, number), count.Kept[class]+weight
	}
	err := auditLog.ScanApart(tx, "", func(key string, e AuditEntry) error { note(key, e.weight()); return nil },
		func(key string, _ error) error { note(key, 1); return nil })
	return count, err
}

func splitAuditKey(key string) (AuditClass, uint64) {
	class, digits, _ := strings.Cut(key, "/")
	number, _ := strconv.ParseUint(digits, 16, 64)
	return AuditClass(class), number
}

// cutText returns a text that is short enough for an entry, and valid UTF-8.
func cutText(s string) string {
	if len(s) > maxAuditText {
		s = s[:maxAuditText-len("…")] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// NumberedAuditEntry is an entry and its number. Later entries have higher numbers.
type NumberedAuditEntry struct {
	Number uint64
	Class  AuditClass
	AuditEntry
}

// maxAuditRead is how many entries of each class one page of the audit log reads.
const maxAuditRead = 2_000

// AuditAfter returns entries that come after the one with the number after, in order, at most limit of those that want
// chooses. next is the number to continue after; 0: there are no more. A page may be empty before the end. Damaged
// entries are left out.
func AuditAfter(tx *Tx, after uint64, limit int, want func(NumberedAuditEntry) bool) (
	entries []NumberedAuditEntry, next uint64, err error) {
	end := uint64(0) // the last number up to which all classes were read; 0: to their ends
	for _, class := range []AuditClass{AuditChange, AuditCertificate, AuditDenied} {
		rows, more, err := auditLog.PageIntact(tx, string(class)+"/", auditKey(class, after), maxAuditRead)
		if err != nil {
			return nil, 0, err
		}
		if _, last := splitAuditKey(more); more != "" && (end == 0 || last < end) {
			end = last
		}
		for _, row := range rows {
			_, number := splitAuditKey(row.Key)
			if e := (NumberedAuditEntry{number, class, row.Value}); want(e) {
				entries = append(entries, e)
			}
		}
	}
	slices.SortFunc(entries, func(a, b NumberedAuditEntry) int { return cmp.Compare(a.Number, b.Number) })
	if end > 0 {
		entries = slices.DeleteFunc(entries, func(e NumberedAuditEntry) bool { return e.Number > end })
	}
	if len(entries) > limit {
		entries = entries[:limit]
		return entries, entries[limit-1].Number, nil
	}
	return entries, end, nil
}
