package store

import (
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

func TestNoteSuspension(t *testing.T) {
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	for _, tt := range []struct {
		name string
		row  Resource
		want time.Time
	}{
		{"not", Resource{Object: api.StoredObject(api.Key{}, []byte(`{"spec":{}}`))}, time.Time{}},
		{"by_operator", Resource{Suspended: true}, second},
		{"by_spec", Resource{Object: api.StoredObject(api.Key{}, []byte(`{"spec":{"suspend":true}}`))}, second},
		{"still", Resource{Suspended: true, SuspendedAt: first}, first},
		{"no_longer", Resource{
			Object: api.StoredObject(api.Key{}, []byte(`{"spec":{"suspend":false}}`)), SuspendedAt: first,
		}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.row.NoteSuspension(second); !tt.row.SuspendedAt.Equal(tt.want) {
				t.Errorf("since %s, want %s", tt.row.SuspendedAt, tt.want)
			}
		})
	}
}
