package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// fleetOfHub returns a Fleet of the hub.
func fleetOfHub(ctx context.Context, client adminv1.AdminServiceClient, name string) (*api.Fleet, error) {
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.FleetKind, Name: name}})
	if err != nil {
		return nil, rolloutError(ctx, client, name, err)
	}
	o, err := readmit(answer.GetObject(), api.Hub)
	if err != nil {
		return nil, err
	}
	return o.Fleet()
}

// fleetOfFile returns the Fleet of a file, also as JSON. If the file has several Fleets, name chooses one.
func fleetOfFile(cmd *cobra.Command, file, name string) (*api.Fleet, []byte, error) {
	data, err := readInput(cmd.InOrStdin(), file)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", file, err)
	}
	objects, err := manifest.Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	objects = slices.DeleteFunc(objects, func(o *manifest.Object) bool {
		return (api.Key{Kind: o.GetKind()}).Role() != api.FleetRole || name != "" && o.GetName() != name
	})
	if len(objects) != 1 {
		return nil, nil, usageError("%s has %d Fleets%s, want one: name it as the argument", file, len(objects),
			strings.TrimSuffix(" with the name "+name, " with the name "))
	}
	admitted, err := api.Admit(objects[0], api.Hub)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	fleet, err := admitted.Fleet()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	var text bytes.Buffer
	err = json.NewEncoder(&text).Encode(objects[0].Object)
	return fleet, text.Bytes(), err
}

// fleetOrFile returns an error if neither a Fleet nor a file is named.
func fleetOrFile(args []string, file string) error {
	if len(args) == 0 && file == "" {
		return usageError("name a Fleet of the hub, or a file with -f")
	}
	return nil
}
