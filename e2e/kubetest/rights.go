package kubetest

import (
	"context"
	"errors"
	"time"

	authorization "k8s.io/api/authorization/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// inForce waits until the API server grants what a binding gives: its authorizer learns of a binding a moment after the
// binding is stored, and a test that acts at once would be refused now and then. Other kinds are in force when stored.
func (c *client) inForce(ctx context.Context, o *unstructured.Unstructured) error {
	if o.GroupVersionKind().Group != rbac.GroupName ||
		(o.GetKind() != "RoleBinding" && o.GetKind() != "ClusterRoleBinding") {
		return nil
	}
	var b rbac.RoleBinding // a ClusterRoleBinding has the same fields
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &b); err != nil {
		return err
	}
	k, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	rules, err := rulesOf(ctx, k, b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, subject := range b.Subjects {
		for _, rule := range rules {
			if err := granted(ctx, k, reviewOf(b.Namespace, subject, rule)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rulesOf returns the rules of a binding's role; none of a role that does not exist yet.
func rulesOf(ctx context.Context, k kubernetes.Interface, b rbac.RoleBinding) ([]rbac.PolicyRule, error) {
	var rules []rbac.PolicyRule
	var err error
	if b.RoleRef.Kind == "Role" {
		var role *rbac.Role
		role, err = k.RbacV1().Roles(b.Namespace).Get(ctx, b.RoleRef.Name, metav1.GetOptions{})
		rules = role.Rules
	} else {
		var role *rbac.ClusterRole
		role, err = k.RbacV1().ClusterRoles().Get(ctx, b.RoleRef.Name, metav1.GetOptions{})
		rules = role.Rules
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return rules, err
}

// reviewOf asks for the first right of a rule.
func reviewOf(namespace string, s rbac.Subject, r rbac.PolicyRule) *authorization.SubjectAccessReview {
	review := &authorization.SubjectAccessReview{}
	switch s.Kind {
	case rbac.ServiceAccountKind:
		review.Spec.User = "system:serviceaccount:" + s.Namespace + ":" + s.Name
	case rbac.GroupKind:
		review.Spec.Groups = []string{s.Name}
	default:
		review.Spec.User = s.Name
	}
	if len(r.NonResourceURLs) > 0 {
		review.Spec.NonResourceAttributes = &authorization.NonResourceAttributes{Path: r.NonResourceURLs[0], Verb: r.Verbs[0]}
		return review
	}
	review.Spec.ResourceAttributes = &authorization.ResourceAttributes{Namespace: namespace, Group: r.APIGroups[0],
		Resource: r.Resources[0], Verb: r.Verbs[0]}
	if len(r.ResourceNames) > 0 {
		review.Spec.ResourceAttributes.Name = r.ResourceNames[0]
	}
	return review
}

func granted(ctx context.Context, k kubernetes.Interface, review *authorization.SubjectAccessReview) error {
	return Until(ctx, "rights of "+review.Spec.User, func(ctx context.Context) error {
		answer, err := k.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && !answer.Status.Allowed {
			return errors.New("not granted yet")
		}
		return err
	})
}
