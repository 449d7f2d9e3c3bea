// Package apply brings the objects of one Application into the cluster, and out of it again.
//
// An apply goes stage by stage (manifest.Stage), the objects of a stage at the same time:
//
//  1. skip   what is recorded with the same digest and was not seen to drift: no request
//  2. save   the inventory with everything that is about to change marked as such, so that a crash loses nothing
//  3. load   the plaintext of an object, when there is memory for it, and only for as long as it is being sent
//  4. apply  one PATCH an object; kubectl's fields are taken over; an immutable field is recreated where force allows
//  5. prune  what left, once everything was applied, in reverse order, Namespaces last
//  6. save   the inventory as it is now
//
// An object that the API server refuses fails alone; its error names it and is redacted.
//
// # How the agent uses kube, inventory, apply, watch and health together
//
// At start:
//
//	client, err := kube.Connect(kube.Config{Kubeconfig: …})
//	index := inventory.NewIndex()
//	for each application on disk {
//	    inv, err := inventory.Decode(bytes)      // bytes as Set.Save got them
//	    client.Warm(inv.Mappings()...)           // no discovery after a restart
//	    index.Replace(inv)
//	}
//	applier := apply.New(apply.Config{Client: client, Index: index, Allow: policy.Allows, Self: trust.Self{Namespace: …}, Log: …})
//	watcher := watch.New(watch.Config{Client: client, Index: index, Log: …})
//	go watcher.Run(ctx)                          // follows the kinds in the index by itself
//
// To reconcile an application (each in a goroutine of its own if wanted, at most one at a time for one application):
//
//	changes, err := applier.Apply(ctx, apply.Set{
//	    Application: …, Objects: …, Previous: inv,     // inventory.New(application) the first time; the apply works on a copy
//	    Claimed: func(id) (application, bool),         // which application of the CURRENT bundle wants the object; keeps a moved one from being pruned
//	    Reapply: requestedAtChanged,             // send every object again
//	    Save: func(inv) error { put inv.Encode() into the state },
//	    …
//	})
//	inv = changes.Inventory                      // valid whether or not err is nil
//
// err is for the whole: the context ended, the state cannot be written, the account cannot be impersonated, the API
// server is away. What is wrong with single objects is in changes.Entries; changes.Err() joins it, changes.Retryable()
// tells whether to try again soon. The index needs no Put after an Apply or a Delete; they keep it.
//
// Drift and health:
//
//	case <-watcher.C():
//	    for _, o := range watcher.Drain() {
//	        // o.Application, o.Object
//	        // o.Drift.Any() and not o.Held(): reconcile o.Application now. The index remembers what drifted, so an Apply
//	        //     repairs exactly that; it costs one request for each object that drifted.
//	        // o.Held(): the object is fought over by o.Drift.By; report it. The watcher tells again at o.RetryAt.
//	        // o.Health: the object's health changed; see index.Summarize(application, 20) for the report.
//	    }
//
// index.Summarize says how an application is doing (it counts objects that no watch has seen yet as Unknown);
// inventory.Strings lists it. Objects of spec.healthChecks that are not the application's own: health.Check.
//
// When an application leaves the bundle: applier.Delete with its last inventory and deletion policy; its ChangeSet's
// Inventory is empty when everything is gone, and what is left is to be kept and tried again. A suspended application
// is simply not applied; leave it in the index, and ignore its drift.
//
// A bundle that would empty the cluster is stopped by Guard, see there; Set.Confirmed lets exactly the prune pass that
// an operator confirmed.
package apply
