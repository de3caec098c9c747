// Package kubernetes tests the files for Kubernetes in packaging. It is a module of its own, so that the product does
// not depend on Kubernetes.
package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// binary is the path of the program, which TestMain builds.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "zato-connect")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for temporary files
	binary = filepath.Join(dir, "zato-connect")
	if out, err := exec.Command("go", "build", "-C", root, "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// manifests are the objects that Kustomize makes of a folder.
type manifests struct {
	workload    string // the name of the Deployment or StatefulSet
	replicas    int32
	selector    *metav1.LabelSelector
	template    corev1.PodTemplateSpec
	claims      []corev1.PersistentVolumeClaim
	serviceName string // of the StatefulSet
	configs     map[string]corev1.ConfigMap
	services    map[string]corev1.Service
	policy      *networkingv1.NetworkPolicy
	budget      *policyv1.PodDisruptionBudget
}

// decode decodes an object into its type of the API. Like the server, and unlike yaml.UnmarshalStrict, it does not
// accept a field in another case.
func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var object T
	encoded, err := yaml.YAMLToJSONStrict(text)
	require.NoError(t, err)
	unknown, err := json.UnmarshalStrict(encoded, &object)
	require.NoError(t, err)
	require.NoError(t, errors.Join(unknown...), "%s", text)
	return object
}

// add decodes an object and adds it.
func (m *manifests) add(t *testing.T, kind string, text []byte) {
	t.Helper()
	switch kind {
	case "apps/v1 Deployment":
		d := decode[appsv1.Deployment](t, text)
		m.workload, m.replicas = d.Name, *d.Spec.Replicas
		m.selector, m.template = d.Spec.Selector, d.Spec.Template
	case "apps/v1 StatefulSet":
		s := decode[appsv1.StatefulSet](t, text)
		m.workload, m.replicas, m.serviceName = s.Name, *s.Spec.Replicas, s.Spec.ServiceName
		m.selector, m.template, m.claims = s.Spec.Selector, s.Spec.Template, s.Spec.VolumeClaimTemplates
	case "v1 ConfigMap":
		c := decode[corev1.ConfigMap](t, text)
		m.configs[c.Name] = c
	case "v1 Service":
		s := decode[corev1.Service](t, text)
		m.services[s.Name] = s
	case "networking.k8s.io/v1 NetworkPolicy":
		p := decode[networkingv1.NetworkPolicy](t, text)
		m.policy = &p
	case "policy/v1 PodDisruptionBudget":
		b := decode[policyv1.PodDisruptionBudget](t, text)
		m.budget = &b
	default:
		require.Fail(t, "a kind that this test does not know", kind)
	}
}

// kindOf returns the version and the kind of an object.
func kindOf(t *testing.T, text []byte) string {
	t.Helper()
	var object metav1.TypeMeta
	require.NoError(t, yaml.Unmarshal(text, &object))
	return object.APIVersion + " " + object.Kind
}

func newManifests() *manifests {
	return &manifests{configs: map[string]corev1.ConfigMap{}, services: map[string]corev1.Service{}}
}

// build runs Kustomize in a folder of packaging/kubernetes.
func build(t *testing.T, folder string) *manifests {
	t.Helper()
	kustomizer := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
	resources, err := kustomizer.Run(filesys.MakeFsOnDisk(), filepath.Join(root, "packaging/kubernetes", folder))
	require.NoError(t, err)
	m := newManifests()
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		m.add(t, kindOf(t, text), text)
	}
	return m
}

// pipelines are the folders that users apply.
var pipelines = []string{"kafka-to-zato", "zato-to-kafka"}

func TestEveryFileHasOnlyFieldsOfTheAPI(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "packaging/kubernetes/*/*.yaml"))
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		if filepath.Base(file) == "config.yaml" {
			continue // of a pipeline
		}
		found++
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			if filepath.Base(file) == "kustomization.yaml" {
				decode[types.Kustomization](t, text)
				return
			}
			newManifests().add(t, kindOf(t, text), withReplicas(t, text))
		})
	}
	assert.Greater(t, found, 5)
}

// withReplicas fails if a workload leaves the number of its pods to the default.
func withReplicas(t *testing.T, text []byte) []byte {
	t.Helper()
	if kind := kindOf(t, text); kind == "apps/v1 Deployment" || kind == "apps/v1 StatefulSet" {
		require.Contains(t, string(text), "\n  replicas: ")
	}
	return text
}

func TestSelectorsChooseThePodsOfTheirPipelineOnly(t *testing.T) {
	chosen := map[string]string{}
	for _, folder := range pipelines {
		m := build(t, folder)
		selector := m.selector.MatchLabels
		require.NotEmpty(t, selector)
		assert.Empty(t, chosen[labels.FormatLabels(selector)], "two pipelines have the same labels")
		chosen[labels.FormatLabels(selector)] = folder
		for key, value := range selector {
			assert.Equal(t, value, m.template.Labels[key], "the pods have the labels of the selector")
		}
		assert.Equal(t, selector, m.policy.Spec.PodSelector.MatchLabels)
		for _, service := range m.services {
			assert.Equal(t, selector, service.Spec.Selector)
		}
		if m.budget != nil {
			assert.Equal(t, selector, m.budget.Spec.Selector.MatchLabels)
			assert.Greater(t, m.replicas, int32(1), "a budget for one pod prevents that its node is drained")
		}
	}
}

func TestPortsAreThoseOfThePipeline(t *testing.T) {
	for _, folder := range pipelines {
		m := build(t, folder)
		p := m.pod(t)
		for _, service := range m.services {
			for _, port := range service.Spec.Ports {
				assert.Equal(t, p.httpPort(t), port.Port, "Prometheus finds the port by this number")
				assert.Equal(t, p.httpPort(t), p.port(t, port.TargetPort))
			}
		}
		if m.serviceName != "" {
			assert.Contains(t, m.services, m.serviceName)
		}
		for _, rule := range m.policy.Spec.Ingress {
			for _, port := range rule.Ports {
				assert.Equal(t, p.httpPort(t), p.port(t, *port.Port))
			}
		}
		allowed := map[int32]bool{}
		for _, rule := range m.policy.Spec.Egress {
			assert.Empty(t, rule.To, "Kustomize adds the labels of the pipeline to the selectors of peers")
			for _, port := range rule.Ports {
				allowed[port.Port.IntVal] = true
			}
		}
		targets := p.targetPorts(t)
		assert.Len(t, targets, 2, "Zato and Kafka")
		for _, port := range append(targets, 53) {
			assert.True(t, allowed[port], "the network policy of %s does not allow port %d", folder, port)
		}
	}
}

func TestPodsAreValid(t *testing.T) {
	for _, folder := range pipelines {
		t.Run(folder, func(t *testing.T) { build(t, folder).pod(t).check(t) })
	}
}

func TestPipelineThatWritesAFileHasOnePodWithAVolume(t *testing.T) {
	m := build(t, "zato-to-kafka")
	assert.Equal(t, int32(1), m.replicas, "a second pod would stand by")
	require.Len(t, m.claims, 1)
	p := m.pod(t)
	assert.NotContains(t, p.config, "journal:")
	assert.Equal(t, m.claims[0].Name, p.mountOf(t, p.env("TOO_LARGE")).Name)
	assert.Nil(t, build(t, "kafka-to-zato").claims)
}

// pod returns the pod of the workload with its configuration.
func (m *manifests) pod(t *testing.T) *pod {
	t.Helper()
	spec := m.template.Spec
	require.Len(t, spec.Containers, 1)
	p := &pod{spec: spec, container: spec.Containers[0]}
	require.Len(t, p.container.Args, 2)
	require.Equal(t, "run", p.container.Args[0])
	path := p.container.Args[1]
	mount := p.mountOf(t, path)
	require.Equal(t, filepath.Dir(path), mount.MountPath)
	volume := p.volume(t, mount.Name)
	require.NotNil(t, volume.ConfigMap)
	config, ok := m.configs[volume.ConfigMap.Name]
	require.True(t, ok, "no ConfigMap %s", volume.ConfigMap.Name)
	p.config = config.Data[filepath.Base(path)]
	require.NotEmpty(t, p.config)
	for _, claim := range m.claims {
		p.spec.Volumes = append(p.spec.Volumes, corev1.Volume{Name: claim.Name})
	}
	return p
}

// port returns the number of a port of the container.
func (p *pod) port(t *testing.T, port intstr.IntOrString) int32 {
	t.Helper()
	for _, of := range p.container.Ports {
		if port.StrVal == of.Name || port.IntVal == of.ContainerPort {
			return of.ContainerPort
		}
	}
	require.Fail(t, "the container has no such port", port.String())
	return 0
}
