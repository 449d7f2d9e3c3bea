// Package store is the hub's state, and the switchboard that its loops meet in: one writes rows, another watches them,
// and neither knows of the other.
//
//	w := s.Watch(ctx, store.Plans.Name()) // 1. from here on no change is missed
//	defer w.Close()
//	s.View(ctx, func(tx *store.Tx) error { … })   // 2. read what there is
//	for range w.C() {                        // 3. and then what changes
//		changes := w.Take()
//		s.View(ctx, func(tx *store.Tx) error { … })
//	}
//
// View sees one state, however long it takes. Update writes all or nothing, one after the other, and is on disk before
// it returns and before any watcher wakes. A watcher holds the names of changed rows, not their history: state, not
// events. Writing what is there already is no change; an Update without a change touches no disk.
//
// Open keeps the store in one file of bbolt; OpenMemory keeps it in memory. One suite of tests runs over both.
//
// # What may go wrong
//
// A process that is killed loses no Update that returned. A full disk fails Updates with ErrFull and leaves the store
// usable; whoever wrote tries again. When the disk itself fails while a commit is being written, it is unknown whether
// the commit will be there after a restart: as with any database, the answer of such a disk is worth nothing.
//
// # Secrets
//
// No plaintext of a credential is in the store: Secret rows hold what a Vault has sealed, and the Vault's key is in a
// file of its own. The values of workloads' secrets never reach the hub at all.
//
// Layout: 1
//
//	resources.bykind Kind/cluster/namespace/name → 1     the index of resources
//	meta             layout → 8 bytes, big-endian       the number above
//	                 epoch  → 8 bytes, big-endian       Store.Epoch
//	resources        api.Key.Path → JSON Resource
//	outcomes         api.Key.Path → JSON Outcome
//	sources          Source.FetchKey → JSON Fetched
//	renders          digest of the inputs → JSON Render
//	plans            cluster → JSON Plan
//	releases         cluster → JSON Release
//	confirmations    api.Key.Path of the Cluster → JSON Confirmation; of one without a name: the hub's own
//	repairs          cluster → JSON Repair
//	desireds         cluster → JSON Desired
//	spokes           cluster → JSON Spoke
//	reports          cluster/Kind/namespace/name → JSON Report
//	jointokens       digest of the token → JSON JoinToken
//	secrets          namespace/name → JSON Secret
//	events           time-counter → JSON Event          UTC, nanoseconds, fixed width; 16 hexadecimal digits
//	events.byobject  api.Key.Path NUL time-counter → {} the index of events
//	events.count     count → JSON {kept, ever}
//	blobs            32 bytes SHA-256 → 8 bytes size, big-endian, then one zstd frame
//
// A field that is added to a row needs no new layout; a row that changes its meaning does, and a migration.
package store
