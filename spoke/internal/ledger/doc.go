// Package ledger keeps a copy of the spoke's inventories in ConfigMaps of the spoke's namespace. A spoke that lost its
// disk reads the copy. Then it still prunes the objects that left Git meanwhile, and it applies the others again.
//
// Each Application has a page: the names and UIDs of its objects, and the options that are needed to delete them after
// the Application is gone. A page has no content of objects. It is stored in one or more ConfigMaps. The hash of an
// object's name chooses its ConfigMap among those of the page, so ConfigMaps of one page do not depend on each other.
//
// A page changes when objects are added, recreated or pruned. An apply that only changes content does not write to the
// ledger. Objects that are about to be added are written before they are applied, which costs that apply one request.
// All other changes are collected for a second and written together.
//
// Layout (version 1) of a ConfigMap nave-inventory-<hash of the application>-<number of ConfigMaps>-<which one>:
//
//	label fleet.nave.io/inventory   the version
//	data mark.json                  state.Mark without the digest and time of the last apply
//	data inventory.json             Inventory.Encode without digests and times of applies
package ledger
