package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

const createLong = `Create an object of the hub from flags, as flux create does, or change it to what the flags say, and wait until it is
ready. With --export, print it as YAML for Git instead: the hub is not asked.`

// newCreateCommand returns "nave create".
func newCreateCommand(s *session) *cobra.Command {
	images := group("image", "Create an object of image automation", newCreateImageRepositoryCommand(s),
		newCreateImagePolicyCommand(s), newCreateImageUpdateCommand(s))
	cmd := group("create", "Create an object of the hub from flags, and wait until it is ready", images)
	cmd.Long = createLong
	cmd.FParseErrWhitelist.UnknownFlags = true // of the words that createOnly is about
	cmd.Args = createOnly
	return without(cmd, "cluster")
}

// createOnly returns the error about what "nave create" does not create.
func createOnly(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("nave create makes only image repositories, policies and updates: write a %s as YAML, or have flux "+
		"create it (flux create … --export), and apply it with nave apply -f -", strings.Join(args[:min(2, len(args))], " "))
}

// creation is a command that makes an object of one kind from its flags.
type creation struct {
	session *session
	kind    string // its words
	// spec returns the spec that the flags say.
	spec func(cmd *cobra.Command) (spec, error)

	labels []string
	export bool
	waiting
}

// command adds the flags that all kinds have, and the run function, to a command.
func (c *creation) command(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	f := cmd.Flags()
	f.StringSliceVar(&c.labels, "label", nil, "label of the object, such as team=a (repeatable, or separated by commas)")
	f.BoolVar(&c.export, "export", false, "print the object as YAML, and do not ask the hub")
	c.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		object, err := c.object(cmd, args[0])
		if err != nil {
			return withExit2(err)
		}
		text, err := documents(object)
		if err != nil {
			return err
		}
		if !c.export {
			return c.apply(cmd, text, args[0])
		}
		if err := refuse(cmd, "wait", "no-wait"); err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// object returns the object that the flags say. If the hub would refuse it, the error says why.
func (c *creation) object(cmd *cobra.Command, name string) (map[string]any, error) {
	spec, err := c.spec(cmd)
	if err != nil {
		return nil, err
	}
	kind, _ := api.KindByName(c.kind)
	metadata := map[string]any{"name": name, "namespace": c.session.namespace}
	labels := map[string]any{}
	for _, label := range c.labels {
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return nil, fmt.Errorf("--label=%s: want KEY=VALUE", label)
		}
		labels[key] = value
	}
	if len(labels) > 0 {
		metadata["labels"] = labels
	}
	object := map[string]any{"apiVersion": kind.Group + "/" + kind.Version, "kind": kind.Name, "metadata": metadata,
		"spec": map[string]any(spec)}
	_, err = api.Admit(&manifest.Object{Object: object}, api.Hub)
	return object, err
}

// apply applies the object, and waits until it is ready. It removes nothing, so nobody is asked to agree.
func (c *creation) apply(cmd *cobra.Command, text, name string) error {
	return c.session.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
		request := &adminv1.ApplyRequest{Manifest: []byte(text)}
		if err := apply(cmd.Context(), cmd.OutOrStdout(), client, request); err != nil || !c.wanted() {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), c.session.timeout)
		defer cancel()
		key, err := c.session.key([]string{c.kind, name})
		if err != nil {
			return err
		}
		return awaitOutcome(ctx, newProgress(cmd), client, key, isReadyNow)
	})(cmd, nil)
}

// isReadyNow is a check that the newest version of an object was processed, and is ready. A failure is the error.
func isReadyNow(object map[string]any) (done bool, message string, err error) {
	c := api.FindCondition(object, condition.Ready)
	if seen := intField(c, "observedGeneration"); seen > 0 && seen < intField(object, "metadata", "generation") {
		return false, "the newest version of the object was not processed yet", nil
	}
	return handled(object, "")
}

// spec is the spec of an object that is being made.
type spec map[string]any

// set sets a field, unless the value is that of a flag that was not given.
func (s spec) set(value any, path ...string) {
	switch v := value.(type) {
	case time.Duration:
		if v == 0 {
			return
		}
		value = shortDuration(v)
	case string:
		if v == "" {
			return
		}
	case bool:
		if !v {
			return
		}
	}
	_ = unstructured.SetNestedField(s, value, path...) // fields on the way are maps
}

// shortDuration returns a duration without units that are zero: 1m, not 1m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
