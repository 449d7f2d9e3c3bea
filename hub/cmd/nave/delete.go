package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// deletion has the flags of "nave delete".
type deletion struct {
	manifests
	agreed        agreement
	ignoreMissing bool
}

func newDeleteCommand(s *session) *cobra.Command {
	var d deletion
	cmd := &cobra.Command{
		Use:   "delete KIND NAME | -f FILE | -k DIR",
		Short: "Delete objects of the hub and the objects that came from them",
		Long: "Delete objects of the hub and the objects that came from them. The objects of files are deleted at once:\n" +
			"what goes along with them is shown, and asked, once for all.",
		Example: "  nave delete fleet prod\n  nave delete -f fleet.yaml\n  nave delete -f clusters -R\n" +
			"  nave delete -k overlays/prod",
		Args: func(cmd *cobra.Command, args []string) error { return d.check(cmd, args) },
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if len(args) == 0 {
				return d.ofManifests(cmd, client)
			}
			key, err := s.key(args)
			if err != nil {
				return err
			}
			return elsewhere(cmd.Context(), client, key, d.one(cmd, client, key))
		}),
	}
	d.flags(cmd, "delete")
	d.agreed.flag(cmd)
	cmd.Flags().BoolVar(&d.ignoreMissing, "ignore-not-found", false, "an object that does not exist is no error")
	return cmd
}

// check refuses arguments and flags that do not name objects in one way.
func (d *deletion) check(cmd *cobra.Command, args []string) error {
	byFile := cmd.Flags().Changed("filename") || cmd.Flags().Changed("kustomize")
	switch {
	case byFile && len(args) > 0:
		return usageError("objects are named both by files and by KIND NAME: choose one of them")
	case byFile:
		return refuse(cmd, "cluster", "namespace") // files say where their objects are
	case len(args) == 0:
		return usageError("the kind and the name are missing, or files with -f or -k")
	}
	return refuse(cmd, "recursive")
}

// one deletes one object.
func (d *deletion) one(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	err := d.agreed.toDelete(cmd, client, key)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s deleted\n", show(key))
	}
	if d.ignoreMissing && missingObject(err) != nil {
		return nil
	}
	return err
}

// ofManifests deletes the objects of files. Those that do not exist are an error after the others were deleted.
func (d *deletion) ofManifests(cmd *cobra.Command, client adminv1.AdminServiceClient) error {
	files, err := d.read(cmd)
	if err != nil {
		return err
	}
	named, err := keysOf(files)
	if err != nil {
		return err
	}
	var keys, missing []*adminv1.ObjectKey
	if len(named) > maxDeleted {
		keys, missing, err = d.many(cmd, client, named)
	} else if keys, missing, err = findObjects(cmd.Context(), client, named); err == nil && len(keys) > 0 {
		err = d.agreed.toDeleteAll(cmd, client, keys)
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		fmt.Fprintf(cmd.OutOrStdout(), "%s deleted\n", show(key))
	}
	var errs []error
	for _, key := range missing {
		errs = append(errs, exitError{fmt.Errorf("%s not found", show(key)), notFound})
	}
	if len(errs) > 0 && !d.ignoreMissing {
		return exitError{joined(errs), notFound}
	}
	return nil
}

// findObjects returns which of some objects the hub has, and which it does not have.
func findObjects(ctx context.Context, client adminv1.AdminServiceClient, named []*adminv1.ObjectKey) (keys,
	missing []*adminv1.ObjectKey, err error) {
	for _, key := range named {
		_, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
		switch {
		case err == nil:
			keys = append(keys, key)
		case missingObject(err) == nil:
			return nil, nil, err
		default:
			missing = append(missing, key)
		}
	}
	return keys, missing, nil
}

// keysOf returns the keys of the objects of files. Of an object, only its kind and its name count. The error names all
// objects that are none of the hub's.
func keysOf(files []api.File) (keys []*adminv1.ObjectKey, err error) {
	err = api.AdmitAll(files, func(o *manifest.Object) (api.Key, error) {
		kind, ok := api.KindOf(o)
		if !ok {
			_, err := api.Admit(o, api.Hub)
			return api.Key{}, err
		}
		key := &adminv1.ObjectKey{Kind: kind.Name, Name: o.GetName()}
		if kind.Namespaced {
			key.Namespace = namespaceOf(o)
		}
		keys = append(keys, key)
		return api.Key{}, nil
	})
	if err == nil && len(keys) == 0 {
		err = errors.New("the manifest has no objects")
	}
	return keys, err
}
