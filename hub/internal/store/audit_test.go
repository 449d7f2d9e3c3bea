package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// auditAll returns the whole log, read in pages.
func auditAll(t *testing.T, s *store.Store, limit int) (all []store.NumberedAuditEntry) {
	t.Helper()
	after := uint64(0)
	for {
		next := uint64(0)
		err := s.View(t.Context(), func(tx *store.Tx) error {
			page, n, err := store.AuditAfter(tx, after, limit, func(store.NumberedAuditEntry) bool { return true })
			if len(page) > limit {
				t.Errorf("a page of %d entries has %d", limit, len(page))
			}
			all, next = append(all, page...), n
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if next == 0 {
			return all
		}
		after = next
	}
}

func audit(t *testing.T, s *store.Store, class store.AuditClass, entries int, e store.AuditEntry) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for range entries {
			if err := store.Audit(tx, class, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAudit_pages(t *testing.T) {
	s := store.OpenMemory()
	for i := range 30 {
		class := []store.AuditClass{store.AuditChange, store.AuditCertificate, store.AuditDenied}[i%3]
		audit(t, s, class, 1, store.AuditEntry{Time: time.Unix(int64(i), 0), Verb: fmt.Sprint(i)})
	}
	for _, limit := range []int{1, 7, 30, 100} {
		all := auditAll(t, s, limit)
		if len(all) != 30 {
			t.Fatalf("limit %d: %d entries, want 30", limit, len(all))
		}
		for i, e := range all {
			if e.Verb != fmt.Sprint(i) || e.Number != uint64(i+1) {
				t.Errorf("limit %d: entry %d is %s, number %d", limit, i, e.Verb, e.Number)
			}
		}
	}
}

func TestAudit_large(t *testing.T) {
	s := store.OpenMemory()
	objects := make([]store.AuditedObject, 250)
	for i := range objects {
		objects[i] = store.AuditedObject{Key: api.ClusterKey(fmt.Sprintf("c-%03d", i))}
	}
	audit(t, s, store.AuditChange, 1, store.AuditEntry{Verb: "deleted", Objects: objects})
	var got []store.AuditedObject
	for _, e := range auditAll(t, s, 10) {
		got = append(got, e.Objects...)
	}
	if len(got) != 250 || got[249].Key.Name != "c-249" {
		t.Errorf("%d objects are recorded, want all 250", len(got))
	}
}

// Refused calls and certificates are limited, and displace no change.
func TestAudit_limits(t *testing.T) {
	s := store.OpenMemory()
	audit(t, s, store.AuditChange, 1, store.AuditEntry{Verb: "deleted"})
	for range 3 {
		audit(t, s, store.AuditDenied, 2_500, store.AuditEntry{Verb: "Delete", Denied: "no"})
	}
	all := auditAll(t, s, 500)
	if len(all) != 5_001 || all[0].Verb != "deleted" {
		t.Errorf("%d entries, the first %q: want the change and the newest 5,000 refusals", len(all), all[0].Verb)
	}
	if last := all[len(all)-1].Number; last != 7_501 {
		t.Errorf("the last entry has number %d, want 7501", last)
	}
}
