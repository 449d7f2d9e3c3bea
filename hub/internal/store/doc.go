// Package store keeps the hub's state. The hub's loops meet only here: one loop writes rows, another watches them, and
// neither knows the other.
//
//	w := s.Watch(ctx, store.Plans.Name())       // 1. from here on no change is missed
//	defer w.Close()
//	s.View(ctx, func(tx *store.Tx) error { … }) // 2. read the rows
//	for range w.C() {                           // 3. read the rows that changed
//		changes := w.Take()
//		s.View(ctx, func(tx *store.Tx) error { … })
//	}
//
// A View sees one state, however long it takes. Updates run one after the other and write all or nothing; the writes
// are on disk before Update returns and before a watcher wakes. A watcher keeps the names of changed rows, not their
// history. If a row is put with the value that it has, nothing changes. An Update without a change does not write.
//
// The functions that View and Update run may run twice, because an engine may have to try again. They set outer
// variables and do not add to them, and they do not send or log. The option Twice runs each of them twice, for tests. A
// transaction writes one graph, at most some hundred rows. Blobs are put before the rows that name them (Blobs).
//
// Open keeps the store in one file of bbolt; OpenMemory keeps it in memory. One test suite runs over both.
//
// # Failures
//
// If the process is killed, no Update that returned is lost. If the disk is full, Updates fail with ErrFull, the store
// stays usable, and the writer tries again. If the disk fails while it writes a commit, it is unknown whether the
// commit is there after a restart, as with any database.
//
// # Secrets
//
// The store has no plaintext of credentials: a Vault seals the Secret rows, and the key of the Vault is in a file of
// its own. The values of workloads' secrets never reach the hub.
//
// # Layout 1
//
//	meta             layout → 8 bytes, big-endian       the number of the layout
//	                 epoch  → 8 bytes, big-endian       Store.Epoch
//	resources        api.Key.Path → JSON Resource
//	resources.bykind Kind/cluster/namespace/name → 1    ResourcesByKind
//	outcomes         api.Key.Path → JSON Condition
//	sources          Source.FetchKey → JSON Fetched
//	renders          digest of the inputs → JSON Render
//	plans            cluster → JSON Plan
//	releases         cluster → JSON Release
//	refusals         cluster → JSON Refusal
//	history          cluster/epoch-sequence → JSON Past  in decimal, 20 digits each
//	pins             cluster → JSON Pin
//	upgrades         cluster → JSON Upgrade
//	rollouts         fleet/number → JSON Rollout        in decimal, 20 digits
//	turns            cluster/fleet → JSON Turn
//	confirmations    ConfirmationKey → JSON Confirmation
//	repairs          cluster → JSON Repair
//	desireds         cluster → JSON SignedBundle
//	spokes           cluster → JSON Spoke
//	reports          cluster/Kind/namespace/name → JSON Report
//	shapes           cluster/digest of the question → JSON Shape  no cluster: shared by all
//	jointokens       digest of the token → JSON JoinToken
//	secrets          namespace/name → JSON Secret
//	signingkeys      number → JSON KeyStatement         in decimal, 20 digits
//	events           time-counter → JSON Event          UTC, nanoseconds, fixed width; 16 hexadecimal digits
//	events.byobject  api.Key.Path NUL time-counter → {} the index of events
//	events.count     count → JSON {kept, ever, run}
//	events.dropped   cluster/ → JSON {number, time}    of the last event that was deleted for want of room; / is the hub
//	events.runs      runs → JSON list                  of the runs of the hub that recorded events
//	audit            class/number → JSON AuditEntry     16 hexadecimal digits
//	audit.count      count → JSON {ever, kept}
//	operators        name → JSON Operator
//	operators.certificates  serial → JSON OperatorCertificate
//	blobs            32 bytes SHA-256 → 8 bytes size, big-endian, then one zstd frame
//
// A new field of a row needs no new layout. If a row changes its meaning, raise the layout and migrate when the file is
// opened. An upgrade keeps what cannot be made again: operators' objects, registrations, join tokens, credentials,
// sequences, statements about signing keys and confirmations (TestUpgrade).
package store
