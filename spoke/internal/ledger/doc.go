// Package ledger keeps what a spoke owns in ConfigMaps of its own namespace, so that the loss of its disk does not lose
// it: what left Git meanwhile is still pruned, and the rest is applied again.
//
// Each Application has a page: the names and UIDs of its objects, and what must be known to delete them when the
// Application is gone. Nothing of what the objects hold is in it. A page is one ConfigMap, or several when it is large:
// an object is in the one that the hash of its name chooses, so that the pages of one size never depend on one another.
// A reader takes all of them together.
//
// A page changes when objects are added, made anew or pruned, not when their content changes; such an apply writes
// nothing here. Objects that are about to be added are written before they are applied: one request more for that
// apply. Everything else is written within a second, all changes of that time together.
//
// Layout (version 1) of a ConfigMap nave-inventory-<hash of the application>-<number of ConfigMaps>-<which one>:
//
//	label fleet.nave.io/inventory   the version
//	data mark.json                  state.Mark, without what was applied when
//	data inventory.json             Inventory.Encode, without what was applied when
package ledger
