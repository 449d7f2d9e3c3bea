package image

import (
	"strings"
	"testing"
)

// TestHideSecrets hides the values of Secrets, in whatever form they are written, and nothing else.
func TestHideSecrets(t *testing.T) {
	for name, c := range map[string]struct{ old, want string }{
		"no_secret": {"kind: Deployment\nimage: OLD\npassword: seen\n", "kind: Deployment\nimage: OLD\npassword: seen\n"},
		"values": {
			"kind: Secret\nmetadata:\n  name: db\n  annotations:\n    last: '{S3CRET}'\nstringData:\n  image: OLD\n" +
				"  pass: S3CRET # S3CRET\n  long: |\n    S3CRET\n\n    more S3CRET\ntype: Opaque\n---\nkind: Pod\nimage: OLD\n",
			"kind: Secret\nmetadata:\n  name: db\n  annotations:\n    <hidden>\nstringData:\n  image: <hidden, before>\n" +
				"  pass: <hidden>\n  long: <hidden>\n    <hidden>\n\n    <hidden>\ntype: Opaque\n---\nkind: Pod\nimage: OLD\n",
		},
		"flow": {"a: OLD\n---\n{kind: Secret, data: {a: S3CRET,\n  b: S3CRET}}\n", "a: OLD\n---\n<hidden>\n  <hidden>\n"},
		"flow_data": {"kind: Secret\nimage: OLD\ndata: {a: S3CRET,\n  b: S3CRET}\n",
			"kind: Secret\nimage: <hidden, before>\ndata: <hidden>\n  <hidden>\n"},
		"list": {
			"kind: List\nitems:\n- kind: Secret\n  data:\n    ключ: S3CRET\n    ? key\n    : S3CRET\n" +
				"- kind: Pod\n  image: OLD\n",
			"kind: List\nitems:\n- kind: Secret\n  data:\n    ключ: <hidden>\n    ? key\n    : <hidden>\n" +
				"- kind: Pod\n  image: OLD\n",
		},
		"flow_list": {"items: [{kind: Secret, stringData: {p: S3CRET}}, {kind: Pod, image: OLD}]\n",
			"items: [<hidden, before>\n"},
		"flow_lines": {"items: [{kind: Secret, stringData: {p: \"S3CRET\n  S3CRET\"}}, {kind: Pod,\n  image: OLD}]\nb: seen\n",
			"items: [<hidden>\n  <hidden>\n  image: OLD}]\nb: seen\n"},
		"flow_generator": {"{secretGenerator: [{name: a, literals: [p=S3CRET]}], images: [{newTag: OLD}]}\n",
			"{secretGenerator: <hidden, before>\n"},
		"comments": {"# seen\nkind: Secret # S3CRET\n# S3CRET\nstringData:\n  # S3CRET\n  a: OLD # S3CRET\n  # S3CRET\ntype: Opaque\n" +
			"#S3CRET\n---\n# seen\nkind: Pod # seen\n",
			"# seen\nkind: Secret <hidden>\n<hidden>\nstringData:\n  <hidden>\n  a: <hidden, before>\n  <hidden>\n" +
				"type: Opaque\n<hidden>\n---\n# seen\nkind: Pod # seen\n"},
		"name": {"kind: Secret\nmetadata:\n  name: OLDOLD # S3CRET\n", "kind: Secret\nmetadata:\n  name: OLDOLD <hidden, before>\n"},
		"generator_comment": {"secretGenerator:\n# S3CRET\n- name: a\nimages:\n- newTag: OLD\n",
			"secretGenerator:\n<hidden>\n<hidden>\nimages:\n- newTag: OLD\n"},
		"generator": {"secretGenerator:\n- name: a\n  literals:\n  - p=S3CRET\nimages:\n- newTag: OLD\n",
			"secretGenerator:\n<hidden>\n  <hidden>\n  <hidden>\nimages:\n- newTag: OLD\n"},
		"json": {`{"kind": "Secret", "data": {"a": "S3CRET"}, "image": "OLD"}`, "<hidden, before>"},
		"crlf": {"kind: Secret\r\ndata:\r\n  a: S3CRET\r\n  b: OLD\r\n", "kind: Secret\r\ndata:\r\n  a: <hidden>\r\n  b: <hidden, before>\r\n"},
		"cr":   {"kind: Secret\rdata:\r  a: S3CRET\r  b: OLD\r", "kind: Secret\rdata:\r  a: <hidden>\r  b: <hidden, before>\r"},
		"breaks": {
			"a: \"x\u2028\u2029y\"\n---\n# \u0085kind: Secret\ndata:\n" +
				"  a: S3CRET\n  b: |\n    S3CRET\u2028    S3CRET\n  c: OLD\n",
			"a: \"x\u2028\u2029y\"\n---\n# \u0085kind: Secret\ndata:\n" +
				"  a: <hidden>\n  b: <hidden>\n    <hidden>\u2028    <hidden>\n  c: <hidden, before>\n",
		},
		"bom":    {"\ufeffkind: Secret\ndata:\n  a: S3CRET\n  b: OLD\n", "\ufeffkind: Secret\ndata:\n  a: <hidden>\n  b: <hidden, before>\n"},
		"broken": {"a: OLD\nkind: Secret\n b: S3CRET\n", "<hidden, before>"},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := HideSecrets([]byte(c.old), []byte(strings.ReplaceAll(c.old, "OLD", "NEW")))
			if before != c.want {
				t.Errorf("before:\n%s\nwant:\n%s", before, c.want)
			}
			want := strings.NewReplacer("OLD", "NEW", "before", "after").Replace(c.want)
			if after != want {
				t.Errorf("after:\n%s\nwant:\n%s", after, want)
			}
		})
	}
}
