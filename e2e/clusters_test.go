package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/util/jsonpath"

	"github.com/navefleet/nave/e2e/kubetest"
)

// ours is where spokes live; it stays between stories, without what a spoke keeps there. So does flux-system, where
// most stories have their Kustomizations and so their keys.
const ours = "nave-system"

// swept are the kinds that stories leave outside of namespaces, with what was there before any story.
var swept = map[string]map[string]bool{"Namespace": {ours: true, "flux-system": true},
	"CustomResourceDefinition.apiextensions.k8s.io": {}}

// learnBaseline notes what a new cluster has.
func learnBaseline(ctx context.Context) error {
	for _, c := range lab.Clusters {
		for kind, there := range swept {
			names, err := namesOf(ctx, c, kind)
			if err != nil {
				return err
			}
			for _, name := range names {
				there[name] = true
			}
		}
	}
	return nil
}

func namesOf(ctx context.Context, c *kubetest.Cluster, kind string) ([]string, error) {
	r, err := c.Resource(kind, "")
	if err != nil {
		return nil, err
	}
	list, err := r.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	return names, nil
}

// clean takes away what a story made. Namespaces go in the background, for each story has its own.
func clean(ctx context.Context, c *kubetest.Cluster) error {
	for kind, keep := range swept {
		names, err := namesOf(ctx, c, kind)
		if err != nil {
			return err
		}
		for _, name := range names {
			if keep[name] {
				continue
			}
			if err := ignoreMissing(c.Delete(ctx, kind, "", name)); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		cleanInventories(ctx, c),
		ignoreMissing(c.Delete(ctx, "Secret", ours, "nave-spoke-identity")),
		ignoreMissing(c.Delete(ctx, "Secret", ours, "nave-join")),
		ignoreMissing(c.Delete(ctx, "Deployment.apps", ours, "nave-spoke")),
	)
}

// cleanInventories takes away what a spoke keeps of what it owns.
func cleanInventories(ctx context.Context, c *kubetest.Cluster) error {
	r, err := c.Resource("ConfigMap", ours)
	if err != nil {
		return err
	}
	return r.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "fleet.nave.io/inventory"})
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// target is an object that a story's line names.
type target struct {
	cluster               *kubetest.Cluster
	kind, namespace, name string
}

// readTarget reads CLUSTER KIND [NAMESPACE/]NAME and returns what follows.
func readTarget(args []string) (target, []string, error) {
	if len(args) < 3 {
		return target{}, nil, errors.New("want CLUSTER KIND [NAMESPACE/]NAME")
	}
	c, err := clusterOf(args[0])
	t := target{cluster: c, kind: args[1], name: args[2]}
	if namespace, name, both := strings.Cut(args[2], "/"); both {
		t.namespace, t.name = namespace, name
	}
	return t, args[3:], err
}

func (t target) String() string {
	return fmt.Sprintf("%s %s %s/%s", t.cluster.Name, t.kind, t.namespace, t.name)
}

func (t target) get(ctx context.Context) (*unstructured.Unstructured, error) {
	o, err := t.cluster.Get(ctx, t.kind, t.namespace, t.name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return o, nil
}

// getTarget returns the object that the words name.
func getTarget(ctx context.Context, args []string) (target, *unstructured.Unstructured, error) {
	t, _, err := readTarget(args)
	if err != nil {
		return t, nil, err
	}
	o, err := t.get(ctx)
	return t, o, err
}

// clusterFile returns the cluster and the content of the file that the words name.
func (s *story) clusterFile(args []string) (*kubetest.Cluster, []byte, error) {
	c, err := clusterOf(args[0])
	if err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(s.path(args[1]))
	return c, b, err
}

// live wants an object to be there, with these values at these JSONPaths. A value is a text, or @ and the name of a
// file that holds it. Data of Secrets is compared decoded.
func live(ctx context.Context, s *story, args []string) error {
	t, wants, err := readTarget(args)
	if err != nil {
		return err
	}
	if len(wants)%2 != 0 {
		return errors.New("live CLUSTER KIND [NAMESPACE/]NAME [PATH WANT]…")
	}
	o, err := t.get(ctx)
	if err != nil {
		return err
	}
	if o.GetDeletionTimestamp() != nil {
		return fmt.Errorf("%s is being deleted", t)
	}
	for ; len(wants) > 0; wants = wants[2:] {
		got, err := field(o, wants[0])
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if name, ok := strings.CutPrefix(wants[1], "@"); ok {
			text, err := os.ReadFile(s.path(name))
			if err != nil {
				return err
			}
			wants[1] = string(text)
		}
		if got != wants[1] {
			return fmt.Errorf("%s: %s is %q, want %q", t, wants[0], got, wants[1])
		}
	}
	return nil
}

// field returns the text at a JSONPath; empty where there is nothing.
func field(o *unstructured.Unstructured, path string) (string, error) {
	p := jsonpath.New("field").AllowMissingKeys(true)
	if err := p.Parse("{" + path + "}"); err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := p.Execute(&b, o.Object); err != nil {
		return "", err
	}
	if o.GetKind() == "Secret" && strings.HasPrefix(path, ".data") {
		decoded, err := base64.StdEncoding.DecodeString(b.String())
		return string(decoded), err
	}
	return b.String(), nil
}

func gone(ctx context.Context, _ *story, args []string) error {
	t, _, err := readTarget(args)
	if err != nil {
		return err
	}
	_, err = t.get(ctx)
	if err == nil {
		return fmt.Errorf("%s is there", t)
	}
	return ignoreMissing(errors.Unwrap(err))
}

// count wants a namespace to have that many objects of a kind.
func count(ctx context.Context, _ *story, args []string) error {
	if len(args) < 4 {
		return errors.New("count CLUSTER KIND NAMESPACE NUMBER [LABEL-SELECTOR]")
	}
	c, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	want, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	r, err := c.Resource(args[1], args[2])
	if err != nil {
		return err
	}
	list, err := r.List(ctx, metav1.ListOptions{LabelSelector: strings.Join(args[4:], ",")})
	if err != nil {
		return err
	}
	if len(list.Items) != want {
		return fmt.Errorf("%s has %d %s in %s, want %d", args[0], len(list.Items), args[1], args[2], want)
	}
	return nil
}

func edit(ctx context.Context, _ *story, args []string) error {
	t, patch, err := readTarget(args)
	if err != nil {
		return err
	}
	return t.cluster.Edit(ctx, t.kind, t.namespace, t.name, strings.Join(patch, " "))
}

func deleteObject(ctx context.Context, _ *story, args []string) error {
	t, _, err := readTarget(args)
	if err != nil {
		return err
	}
	return t.cluster.Delete(ctx, t.kind, t.namespace, t.name)
}

func applyFile(ctx context.Context, s *story, args []string) error {
	c, b, err := s.clusterFile(args)
	if err != nil {
		return err
	}
	return c.Apply(ctx, b)
}

// remember notes who an object is and what state it is in.
func remember(ctx context.Context, s *story, args []string) error {
	t, o, err := getTarget(ctx, args)
	if err != nil {
		return err
	}
	s.remembered[t.String()] = fingerprint(o)
	return nil
}

// same wants an object to be the one that was remembered, with nothing written to it since but its status.
func same(ctx context.Context, s *story, args []string) error {
	t, o, err := getTarget(ctx, args)
	if err != nil {
		return err
	}
	if got, want := fingerprint(o), s.remembered[t.String()]; got != want {
		return fmt.Errorf("%s changed: it is %s and was %s", t, got, want)
	}
	return nil
}

// fingerprint leaves out the status where the object has a generation to tell it from the rest.
func fingerprint(o *unstructured.Unstructured) string {
	version := o.GetResourceVersion()
	if o.GetGeneration() > 0 {
		version = fmt.Sprint("generation ", o.GetGeneration())
	}
	return fmt.Sprintf("%s %s", o.GetUID(), version)
}

// containsStream wants every field of every document to be live.
func containsStream(ctx context.Context, s *story, args []string) error {
	c, b, err := s.clusterFile(args)
	if err != nil {
		return err
	}
	decoder, n := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096), 0
	for {
		want := &unstructured.Unstructured{}
		if err := decoder.Decode(&want.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if len(want.Object) == 0 {
			continue
		}
		n++
		t := target{c, want.GroupVersionKind().GroupKind().String(), want.GetNamespace(), want.GetName()}
		o, err := t.get(ctx)
		if err != nil {
			return err
		}
		if where := missing(want.Object, o.Object, ""); where != "" {
			return fmt.Errorf("%s: %s is not as in %s", t, where, args[1])
		}
	}
	if n == 0 {
		return fmt.Errorf("%s has no document", args[1])
	}
	return nil
}

// missing returns the path of the first value of want that is not in got, ignoring what got has beside it.
func missing(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return path
		}
		for k, v := range want {
			if where := missing(v, m[k], path+"."+k); where != "" {
				return where
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return path
		}
		for i, v := range want {
			if where := missing(v, list[i], fmt.Sprintf("%s[%d]", path, i)); where != "" {
				return where
			}
		}
		return ""
	}
	if reflect.DeepEqual(want, got) || sameNumber(want, got) {
		return ""
	}
	return path
}

func sameNumber(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
