package kube

import (
	"slices"
	"strings"
	"testing"
)

// TestOwners reads who owns a field out of managedFields.
func TestOwners(t *testing.T) {
	body := `{"metadata":{"name":"a","managedFields":[
	 {"manager":"nave-spoke","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:ours":{},"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:image":{}}}}}},
	 {"manager":"hpa","operation":"Update","subresource":"scale","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:replicas":{}}}},
	 {"manager":"kubectl-edit","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:hand":{},"f:whole":{},"f:set":{"v:\"x\"":{}},"f:list":{"k:{\"name\":\"b\"}":{".":{},"f:image":{}}}}}},
	 {"manager":"kubelet","operation":"Update","subresource":"status","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:reported":{}}}}]},
	 "spec":{"set":["w","x"],"list":[{"name":"a","image":"1"},{"name":"b","image":"2"}],"whole":{"part":1}}}`
	live, err := readLive([]byte(body), Mapping{Version: "v1", Kind: "Thing"}, FieldManager, true)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, path := range live.FieldsOf(Takeover{ByHand: true}) {
		paths = append(paths, strings.Join(path, "/"))
	}
	slices.Sort(paths)
	if want := []string{"spec/list/1/image", "spec/set/1", "spec/whole"}; !slices.Equal(paths, want) {
		t.Errorf("fields set by hand: %v, want %v", paths, want)
	}
	if spec, _ := live.OwnedFields()["f:spec"].(map[string]any); len(spec) != 2 {
		t.Errorf("our fields: %v", live.OwnedFields())
	}
	for path, want := range map[string]struct{ ours, others, adopting bool }{
		"spec/ours":         {ours: true},
		"spec/replicas":     {others: true, adopting: true},
		"spec/hand":         {others: true},
		"spec/whole/part":   {others: true},
		"spec/set/1":        {others: true},
		"spec/set/0":        {},
		"spec/list/0/image": {ours: true},
		"spec/list/1/image": {others: true},
		"spec/list/2/image": {},
		"spec/list/a":       {},
		"spec/reported":     {},
		"spec/nobodys":      {},
	} {
		p := strings.Split(path, "/")
		if live.Owned(p) != want.ours || live.OwnedByOthers(p, Takeover{}) != want.others ||
			live.OwnedByOthers(p, Takeover{ByHand: true}) != want.adopting {
			t.Errorf("%s: ours %t, others' %t, %t when hands are adopted; want %v", path, live.Owned(p),
				live.OwnedByOthers(p, Takeover{}), live.OwnedByOthers(p, Takeover{ByHand: true}), want)
		}
	}
}
