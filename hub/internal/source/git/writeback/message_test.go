package writeback

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
)

func someData() Data {
	app := image.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	job := image.Object{APIVersion: "batch/v1", Kind: "CronJob", Namespace: "shop", Name: "night"}
	change := func(o image.Object, setter string) image.Change {
		return image.Change{Line: 3, Object: o, Old: "web:1", New: "web:2", Setter: setter}
	}
	return Data{
		AutomationObject: types.NamespacedName{Namespace: "shop", Name: "auto"},
		Changed: newChanged([]changedFile{
			{path: "b.yaml", changes: []image.Change{change(job, "shop:web")}},
			{path: "a.yaml", changes: []image.Change{change(app, "shop:web"), change(app, "shop:web:tag")}},
		}),
		Values: map[string]string{"cluster": "prod"},
	}
}

func TestMessage(t *testing.T) {
	for name, c := range map[string]struct{ template, want string }{
		"default": {"", "Update from image update automation"},
		"names":   {"{{ .AutomationObject }} {{ .AutomationObject.Name }} {{ .Values.cluster | upper }}", "shop/auto auto PROD"},
		"files":   {"{{ range $f, $_ := .Changed.FileChanges }}{{ $f }} {{ end }}", "a.yaml b.yaml "},
		"objects": {
			"{{ range $o, $changes := .Changed.Objects }}- {{ $o.Kind }} {{ $o.Namespace }}/{{ $o.Name }}\n" +
				"{{ range $_, $c := $changes }}  {{ $c.OldValue }} -> {{ $c.NewValue }} ({{ $c.Setter }})\n{{ end }}{{ end }}",
			"- Deployment shop/web\n  web:1 -> web:2 (shop:web)\n  web:1 -> web:2 (shop:web:tag)\n" +
				"- CronJob shop/night\n  web:1 -> web:2 (shop:web)\n",
		},
		"changes": {"{{ range .Changed.Changes }}{{ .Setter }} {{ end }}", "shop:web shop:web:tag "},
		"indent":  {"{{ indent 2 \"x\" }}{{ nindent 1 \"y\" }}", "  x\n y"},
		"until":   {"{{ range until 3 }}{{ . }}{{ end }}{{ repeat 2 \"x\" }}", "012xx"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := message(messageField, c.template, defaultMessage, someData())
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestMessage_many has a template that lists all changes, as that of docs/images.md: however many there are, it makes a
// message.
func TestMessage_many(t *testing.T) {
	file := changedFile{path: "a.yaml"}
	for i := range 10_000 {
		name := fmt.Sprint("registry.example.com/organization/application-", i)
		file.changes = append(file.changes, image.Change{Line: i, Old: name + ":1.0.0", New: name + ":1.1.0"})
	}
	const template = "{{ range .Changed.Changes }}{{ .OldValue }} -> {{ .NewValue }}\n{{ end }}"
	data := Data{Changed: newChanged([]changedFile{file})}
	got, err := message(messageField, template, defaultMessage, data)
	if n := strings.Count(got, "\n"); err != nil || n != 10_000 {
		t.Errorf("got %d lines, %v", n, err)
	}
}

func TestMessage_refused(t *testing.T) {
	for name, c := range map[string]struct{ template, want string }{
		"removed":        {"{{ range .Updated.Images }}{{ . }}{{ end }}", "range over .Changed.Changes"},
		"removed_result": {"{{ range .Changed.ImageResult.Images }}{{ . }}{{ end }}", "range over .Changed.Objects"},
		"malformed":      {"{{ range }}", "spec.git.commit.messageTemplate"},
		"unknown":        {"{{ .Change }}", "Change"},
		"endless":        {"{{ range 1000000000 }}{{ end }}", "spec.git.commit.messageTemplate: the template takes more than"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := message(messageField, c.template, defaultMessage, someData())
			if !errors.Is(err, source.ErrRequest) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
