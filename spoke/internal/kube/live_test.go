package kube

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
)

const edited = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"7","managedFields":[
 {"manager":"nave-spoke","operation":"Apply","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:x":{},"f:y":{}}}},
 {"manager":"nave-spoke","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:06Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:w":{}}}},
 {"manager":"kubectl-edit","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:07Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:z":{}}}},
 {"manager":"kubectl-rollout","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:08Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{}}},
 {"manager":"controller","operation":"Update","subresource":"status","apiVersion":"v1","time":"2026-01-02T03:04:09Z","fieldsType":"FieldsV1","fieldsV1":{"f:status":{}}},
 {"manager":"kubectl","operation":"Update","subresource":"scale","apiVersion":"v1","time":"2026-01-02T03:04:03Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{}}}]},
 "data":{"x":"1"}}`

var configMaps = Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true}

func TestReadLive(t *testing.T) {
	l, err := readLive([]byte(edited), configMaps, FieldManager, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := (bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "b", Name: "a"}); l.ID != want ||
		l.UID != "u" || l.ResourceVersion != "7" {
		t.Errorf("%+v", l)
	}
	if want := hashFields(json.RawMessage(`{"f:data":{"f:x":{},"f:y":{}}}`)); l.Managed != want {
		t.Errorf("managed %s, want %s", l.Managed, want)
	}
	if want := []string{"kubectl-rollout", "kubectl-edit", "kubectl"}; !slices.Equal(l.Others, want) {
		t.Errorf("others %v, want %v", l.Others, want)
	}
	if want := []string{"kubectl-edit"}; !slices.Equal(l.Adoptable, want) { // neither a restart nor a scale is adopted
		t.Errorf("adoptable %v, want %v", l.Adoptable, want)
	}
	if l.Object == nil || l.Object.GetManagedFields() != nil {
		t.Errorf("object %v", l.Object)
	}
}

func TestHashFields(t *testing.T) {
	a := hashFields(json.RawMessage(`{"f:spec":{"f:a":{},"k:{\"name\":\"x\"}":{".":{}}},"f:metadata":{}}`))
	b := hashFields(json.RawMessage(`{"f:metadata":{}, "f:spec":{"k:{\"name\":\"x\"}":{".":{}},"f:a":{}}}`))
	c := hashFields(json.RawMessage(`{"f:metadata":{}, "f:spec":{"k:{\"name\":\"x\"}":{},"f:a":{}}}`))
	if a != b || a == c {
		t.Errorf("%s %s %s", a, b, c)
	}
}

func TestAdopted(t *testing.T) {
	l, err := readLive([]byte(edited), configMaps, FieldManager, false)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := adopted(l, FieldManager, Takeover{ByHand: true})
	if err != nil {
		t.Fatal(err)
	}
	last := entries[len(entries)-1]
	if len(entries) != 5 || last.Manager != FieldManager || last.Operation != "Apply" {
		t.Fatalf("%+v", entries)
	}
	if want := hashFields(json.RawMessage(`{"f:data":{"f:x":{},"f:y":{},"f:z":{}}}`)); hashFields(last.FieldsV1.GetRawBytes()) != want {
		t.Errorf("fields %s", last.FieldsV1)
	}
}

func FuzzReadLive(f *testing.F) {
	f.Add([]byte(edited))
	f.Add([]byte(`{"metadata":{"managedFields":[{"manager":"nave-spoke","operation":"Apply","fieldsV1":[1]}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := readLive(body, configMaps, FieldManager, true)
		if err == nil && l.Object == nil {
			t.Error("neither an object nor an error")
		}
		_, _ = adopted(l, FieldManager, Takeover{ByHand: true})
	})
}
