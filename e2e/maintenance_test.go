package e2e_test

import (
	"strings"
	"testing"
)

// checks are what maintenance must not break, by the text of docs/maintenance.md that they go before.
var checks = []step{
	{"\n## Restore\n", `
# what the backup does not have
sed -i 's/welcome/later/' fleet/apps/greeting.yaml
git -C fleet commit -qam later && git -C fleet push -q origin main
nave reconcile kustomization root --cluster east --with-source
nave reconcile kustomization root --cluster west
lives() {
  for c in east west; do kubectl --context $c -n greeting get configmap greeting -o yaml; done
  grep -cE 'msg=applied.* (created|configured|deleted)=[1-9]' east.log west.log
}
certificate() { kubectl --context $1 -n nave-system get secret nave-spoke-identity -o jsonpath='{.data.tls\.crt}'; }
lives | grep 'text: later from west'
certificate east > east-before && certificate west > west-before
`},
	{"\n## Rotate the signing key\n", `
# no spoke joined again, and the hub knows what the backup did not have
nave reconcile kustomization root --cluster east
nave reconcile kustomization root --cluster west
lives > lives-before
grep 'text: later from east' lives-before && grep 'text: later from west' lives-before
certificate east | diff east-before - && certificate west | diff west-before -
cp hub/signing.key stolen.key
`},
	{"\nBack up the data folder again", `
for c in east west; do
  until [ $(grep -c 'signing keys changed' $c.log) = 2 ]; do sleep 0.1; done
done
until nave explain > /dev/null; do sleep 0.2; done
lives | diff lives-before -
# somebody who has the old key: this hub does not start with it, and spokes refuse what another one signs
kill $hub && wait $hub
cp -a hub hub.kept
install -m 600 stolen.key hub/signing.key
! nave-hub --data-dir hub --advertise 127.0.0.1:7443 > refused.log 2>&1
grep 'signs since statement 2' refused.log
rm hub/signing.key
nave-hub --data-dir hub --new-key signing.key --advertise 127.0.0.1:7443 >> hub.log 2>&1 &
hub=$!
until nave version > /dev/null 2>&1; do sleep 0.1; done
kill $hub && wait $hub
install -m 600 stolen.key hub/signing.key
nave-hub --data-dir hub --advertise 127.0.0.1:7443 >> hub.log 2>&1 &
hub=$!
for c in east west; do
  until nave describe cluster $c | grep BundleRejected; do sleep 0.1; done
done
nave explain # exits 1
kill $hub && wait $hub
rm -r hub && mv hub.kept hub
nave-hub --data-dir hub --advertise 127.0.0.1:7443 >> hub.log 2>&1 &
hub=$!
until nave explain > /dev/null; do sleep 0.2; done
lives | diff lives-before -
`},
	{"\n## An operator's configuration\n", `
certificate east | diff east-before - && ! certificate west | diff -q west-before -
`},
	{"\n`nave explain` names the Secrets", `
for c in east west; do
  until nave describe cluster $c | grep 'Connected *True'; do sleep 0.1; done
done
lives | diff lives-before -
sed -i 's/later/welcome/' fleet/apps/greeting.yaml
git -C fleet commit -qam last && git -C fleet push -q origin main
nave reconcile kustomization root --cluster east --with-source
nave reconcile kustomization root --cluster west
`},
}

// serviceSteps make the folders of a machine in the home of the shell, and start the spoke of west with the kubeconfig
// of docs/services.md.
var serviceSteps = []step{
	{"\n## The hub\n", `
mkdir -p /etc/systemd/system /etc/nave /usr/local/bin
`},
	{"\nThe token does not end.", `
kubectl --kubeconfig spoke.kubeconfig auth whoami | grep system:serviceaccount:nave-system:nave-spoke
kill $west && wait $west
nave-spoke --config-dir west/config --join-token-file west/token --state-dir west/state --kubeconfig spoke.kubeconfig \
  --http-listen 127.0.0.1:7482 >> west.log 2>&1 &
west=$!
`},
}

// newSpokeSteps make way for the spoke of docs/services.md, and start it as its unit does.
var newSpokeSteps = []step{
	{"\nOn its machine, with the file", `
kill $west && wait $west
nave cluster remove west --yes
`},
	{"\n- The spoke takes changes of", `
/usr/local/bin/nave-spoke --config-dir=/etc/nave/west/config --join-token-file=/etc/nave/west/token \
  --kubeconfig=/etc/nave/west/kubeconfig --state-dir=services/west --http-listen=127.0.0.1:7482 >> west.log 2>&1 &
west=$!
nave wait cluster west --for condition=Connected
until nave explain > /dev/null 2>&1; do sleep 0.2; done
`},
}

// withFleet returns docs/fleets.md with the Fleet that the document shows in the repository of the quick start.
func withFleet(t *testing.T, document string) string {
	t.Helper()
	_, manifest, _ := strings.Cut(document, "```yaml\n")
	manifest, _, _ = strings.Cut(manifest, "```")
	return "\n```sh\ncd fleet\ncat > hub/production.yaml <<'EOF'\n" + manifest + "EOF\n" + `
mkdir -p clusters/production
cat > clusters/production/domain.yaml <<'EOF'
apiVersion: v1
kind: ConfigMap
metadata: {name: domain, namespace: default}
data: {domain: "${domain}", region: "${region}"}
EOF
git add . && git commit -qm 'a Fleet' && git push -q origin main
nave reconcile source git hub
until nave get fleet production; do sleep 0.1; done
` + "```\n" + document + "\n```sh\n" + `
nave tree fleet production | grep prod-1
nave build fleet production . | grep 'domain: one.example.com'
cd ..
` + "```\n"
}
