package main

import (
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestInForce(t *testing.T) {
	for _, c := range []struct {
		name, status  string
		done, failure bool
	}{
		{"in_force", `{"conditions":[{"type":"Suspended","status":"True","message":"m"}]}`, true, false},
		{"on_its_way", `{"conditions":[{"type":"Suspended","status":"Unknown","message":"m"}]}`, false, false},
		{"resumed", `{"conditions":[{"type":"Ready","status":"True","message":"m"}]}`, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			object, err := decode(&adminv1.Object{Json: []byte(`{"status":` + c.status + `}`)})
			if err != nil {
				t.Fatal(err)
			}
			done, _, err := inForce(object)
			if done != c.done || (err != nil) != c.failure {
				t.Errorf("done %v, error %v", done, err)
			}
		})
	}
}
