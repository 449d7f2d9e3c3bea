package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

const exportText = `Print objects of the hub as files for Git: without status and without what the hub added. nave apply
takes what is printed.

Printed are the objects that operators applied, of all namespaces unless --namespace is given. Those that come from Git
are left out, unless one is named. The hub never shows the data of a Secret: a comment names its keys, and the data must
come from where you have it, encrypted.`

func newExportCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "export KIND [NAME] | all | sources all | images all",
		Short: "Print objects of the hub as files for Git, without status and without secret data",
		Long:  exportText,
		Example: "  nave export all > hub.yaml\n  nave export source git\n" +
			"  nave export fleet production > production.yaml\n" +
			"  nave export clusters | nave --context other apply -f -",
		Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			e := &export{client: client, out: cmd.OutOrStdout(), note: cmd.ErrOrStderr()}
			if cmd.Flags().Changed("namespace") {
				e.namespace = s.namespace
			}
			return e.run(cmd.Context(), s, args)
		}),
	}
}

// export prints objects of the hub.
type export struct {
	client    adminv1.AdminServiceClient
	namespace string // only of this one; empty: of all
	out, note io.Writer
	printed   int
	inGit     []string // what was left out
	secrets   []string // whose data is missing
}

func (e *export) run(ctx context.Context, s *session, args []string) error {
	err := e.objects(ctx, s, args)
	if err == nil {
		e.tell()
	}
	return err
}

// objects prints the objects that arguments name.
func (e *export) objects(ctx context.Context, s *session, args []string) error {
	if several, names, ok := collectionOf(args); ok {
		if args[0] == "all" {
			several.kinds = api.Kinds()
		}
		if err := several.checkNames(names); err != nil {
			return err
		}
		return e.all(ctx, several.kinds)
	}
	switch kind, names, err := kindOf(args); {
	case err != nil:
		return err
	case s.checkScope(kind) != nil:
		return s.checkScope(kind)
	case kind.Derived:
		return usageError("the hub makes objects of kind %s by itself: export what they are made from", kind.Name)
	case len(names) > 1:
		return usageError("want at most one name, got %s", strings.Join(names, " "))
	case len(names) == 1:
		return e.named(ctx, s, args)
	default:
		return e.kind(ctx, kind)
	}
}

// all prints the objects of kinds, as far as they can be applied. A failure does not stop the others.
func (e *export) all(ctx context.Context, kinds []api.Kind) error {
	var errs []error
	for _, kind := range kinds {
		if kind.Supported() && !kind.Derived {
			errs = append(errs, e.kind(ctx, kind))
		}
	}
	return joined(errs)
}

// tell says what the output does not have.
func (e *export) tell() {
	if len(e.inGit) > 0 {
		fmt.Fprintf(e.note, "left out, because Git or another object gives them: %s\n",
			oneLine(wording.List(e.inGit, len(e.inGit), 5)))
	}
	if len(e.secrets) > 0 {
		fmt.Fprintf(e.note, "without the data of secrets, which the hub never shows: %s\n",
			oneLine(wording.List(e.secrets, len(e.secrets), 5)))
	}
	if e.printed+len(e.secrets) == 0 {
		fmt.Fprintln(e.note, "No objects found.")
	}
}

// named prints one object, also one that comes from Git.
func (e *export) named(ctx context.Context, s *session, args []string) error {
	key, err := s.key(args)
	if err != nil {
		return err
	}
	answer, err := e.client.Get(ctx, &adminv1.GetRequest{Key: key})
	if err != nil {
		return elsewhere(ctx, e.client, key, err)
	}
	if fromGit, err := e.print(answer.GetObject(), true); err != nil || !fromGit {
		return err
	}
	fmt.Fprintf(e.note, "%s comes from Git: change it there\n", show(key))
	return nil
}

// kind prints the objects of a kind that operators applied.
func (e *export) kind(ctx context.Context, kind api.Kind) error {
	objects, err := list(ctx, e.client, &adminv1.ListRequest{Kind: kind.Name, Namespace: e.namespaceOf(kind)}, chunkSize)
	if err != nil {
		return err
	}
	for _, o := range objects {
		fromGit, err := e.print(o, false)
		if err != nil {
			return err
		}
		if fromGit {
			e.inGit = append(e.inGit, keyOf(o.GetKey()).String())
		}
	}
	return nil
}

// namespaceOf returns the namespace that objects of a kind are listed in.
func (e *export) namespaceOf(kind api.Kind) string {
	if kind.Namespaced {
		return e.namespace
	}
	return ""
}

// print prints an object that nave apply takes, and reports whether the object comes from Git. Of those only the one
// that was named is printed. Of a Secret a comment is printed.
func (e *export) print(o *adminv1.Object, isNamed bool) (fromGit bool, err error) {
	object, err := decode(o)
	if err != nil {
		return false, err
	}
	if keyOf(o.GetKey()).Role() == api.CredentialRole {
		e.secrets = append(e.secrets, keyOf(o.GetKey()).String())
		annotations := (&manifest.Object{Object: object}).GetAnnotations()
		_, err = fmt.Fprintf(e.out, "---\n# %s: the hub does not show its data. Its keys are: %s\n", show(o.GetKey()),
			oneLine(annotations[api.GroupFleet+"/keys"]))
		return false, err
	}
	switch o.GetGivenBy() {
	case adminv1.GivenBy_GIVEN_BY_UNSPECIFIED:
		return false, errTooOld("nave export")
	case adminv1.GivenBy_GIVEN_BY_OBJECT:
		if fromGit = true; !isNamed {
			return fromGit, nil
		}
	}
	written := asWritten(object)
	leaveOwner([]map[string]any{written})
	unstructured.RemoveNestedField(written, "metadata", "annotations", manifest.RequestedAtAnnotation)
	if metadata := fieldMap(written, "metadata"); len(fieldMap(metadata, "annotations")) == 0 {
		delete(metadata, "annotations")
	}
	text, err := documents(written)
	if err != nil {
		return false, err
	}
	e.printed++
	_, err = fmt.Fprint(e.out, text)
	return fromGit, err
}
