package kube

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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
	 {"manager":"kubectl-patch","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:whole":{}}}},
	 {"manager":"kubelet","operation":"Update","subresource":"status","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":
	  {"f:spec":{"f:reported":{}}}}]},
	 "spec":{"set":["w","x"],"list":[{"name":"a","image":"1"},{"name":"b","image":"2"}],"whole":{"part":1}}}`
	live, err := readLive([]byte(body), Mapping{Version: "v1", Kind: "Thing"}, FieldManager, true)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for path := range live.FieldsOf(Takeover{ByHand: true}) {
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
		ours, others := live.Owned(p), live.OthersThan(Takeover{}).Own(p)
		adopting := live.OthersThan(Takeover{ByHand: true}).Own(p)
		if ours != want.ours || others != want.others || adopting != want.adopting {
			t.Errorf("%s: ours %t, others' %t, %t when hands are adopted; want %v", path, ours, others, adopting, want)
		}
	}
}

// TestKeysOf finds the keys of elements, whatever else is in the field set.
func TestKeysOf(t *testing.T) {
	fields := map[string]any{".": nil, "f:x": nil, "k:no JSON": nil, "k:null": nil, `v:"a"`: nil, "v:1": nil,
		`k:{"name":"a"}`: nil, `k:{"port":80,"protocol":"TCP"}`: nil, `k:{"big":{"b":1,"a":2}}`: nil}
	for i := range 20 { // more than the API server writes for a list
		fields[fmt.Sprintf(`k:{"zz%02d":1}`, i)] = nil
	}
	keys := KeysOf(fields)
	for _, c := range []struct {
		element any
		want    string
	}{
		{"a", `v:"a"`}, {int64(1), "v:1"}, {"b", ""}, {nil, ""}, {map[string]any{}, ""},
		{map[string]any{"name": "a", "value": "x"}, `k:{"name":"a"}`},
		{map[string]any{"port": int64(80), "protocol": "TCP"}, `k:{"port":80,"protocol":"TCP"}`},
		{map[string]any{"port": int64(80)}, ""},
		{map[string]any{"big": map[string]any{"a": int64(2), "b": int64(1)}}, `k:{"big":{"b":1,"a":2}}`},
		{map[string]any{"zz19": int64(1)}, ""},
	} {
		if got := keys.Of(c.element); got != c.want {
			t.Errorf("%v: %q, want %q", c.element, got, c.want)
		}
	}
}

// TestOwners_long reads long lists with as many keys, and many managers, in no more than some time for each element.
func TestOwners_long(t *testing.T) {
	const n = 4000
	var list []any
	set := map[string]any{}
	for i := range n {
		name := fmt.Sprintf("V%05d", i)
		list = append(list, map[string]any{"name": name, "value": "x"})
		set[fmt.Sprintf(`k:{"name":%q}`, name)] = map[string]any{"f:value": map[string]any{}}
	}
	fields, err := json.Marshal(map[string]any{"f:env": set})
	if err != nil {
		t.Fatal(err)
	}
	managers := []any{map[string]any{"manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
		"fieldsV1": json.RawMessage(fields)}}
	for i := range n {
		managers = append(managers, map[string]any{"manager": fmt.Sprint("m", i), "operation": "Apply",
			"fieldsType": "FieldsV1", "fieldsV1": map[string]any{}})
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "a", "managedFields": managers}, "env": list,
	})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	live, err := readLive(body, Mapping{Version: "v1", Kind: "Thing"}, FieldManager, true)
	if err != nil || len(live.Others) != n+1 {
		t.Fatal(err, len(live.Others))
	}
	paths := 0
	for range live.FieldsOf(Takeover{ByHand: true}) {
		paths++
	}
	if paths != n {
		t.Errorf("%d paths", paths)
	}
	others := live.OthersThan(Takeover{})
	for i := range n / 10 {
		if !others.Own([]string{"env", strconv.Itoa(i), "value"}) {
			t.Fatal(i)
		}
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
