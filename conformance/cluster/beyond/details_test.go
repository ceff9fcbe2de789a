package beyond

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// metricsPort and readersRole are deploy/sluice.yaml's.
const (
	metricsPort = 9471
	readersRole = "sluice-metrics-reader"
)

// awaitDetail waits until the agent of a node says something about itself that holds
// all of the words. Others' programs are looked for once a minute.
func (w *world) awaitDetail(node string, words ...string) {
	w.t.Helper()
	token := w.reader()
	w.await(fmt.Sprintf("the agent on %s to speak of %v", node, words), func() error {
		details, err := w.fromAgent(node, token, "/readyz/details")
		if err != nil {
			return err
		}
	lines:
		for line := range strings.Lines(details) {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			w.t.Logf("the agent says: %s", strings.TrimSpace(line))
			return nil
		}
		return fmt.Errorf("it says: %s", details)
	})
}

// reader is the token of somebody who may read what agents say of themselves.
func (w *world) reader() string {
	w.t.Helper()
	bindings := cluster.client.RbacV1().ClusterRoleBindings()
	binding, err := bindings.Create(w.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "beyond-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: readersRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: "default"}},
	}, metav1.CreateOptions{})
	w.must("bind "+readersRole, err)
	w.t.Cleanup(func() {
		if err := bindings.Delete(w.ctx, binding.Name, metav1.DeleteOptions{}); err != nil {
			w.t.Errorf("delete the ClusterRoleBinding %s: %v", binding.Name, err)
		}
	})
	r, err := cluster.client.CoreV1().ServiceAccounts(w.ns).CreateToken(w.ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.must("ask for a token", err)
	return r.Status.Token
}

// fromAgent is what the agent of a node says at a path.
func (w *world) fromAgent(node, token, path string) (string, error) {
	agent, err := w.agents().on(node)
	if err != nil {
		return "", err
	}
	local, done, err := forward(agent, metricsPort)
	if err != nil {
		return "", err
	}
	defer done()
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", local, path), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	// The certificate is the agent's own; the API server has vouched for the way.
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	// An agent that is not ready says why, and that is an answer, too.
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable {
		return "", fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), nil
}

// on is the agent of a node.
func (a *agents) on(node string) (*corev1.Pod, error) {
	pods, err := cluster.client.CoreV1().Pods(a.namespace).List(a.ctx, metav1.ListOptions{
		LabelSelector: a.selector, FieldSelector: "spec.nodeName=" + node,
	})
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
			return p, nil
		}
	}
	return nil, errors.New("no agent runs on " + node)
}
