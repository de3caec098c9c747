package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// chartValues are the values of the chart that packaging/helm sets.
type chartValues struct {
	Image struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"image"`
	Deployment struct {
		ReplicaCount                  int32        `json:"replicaCount"`
		TerminationGracePeriodSeconds *int64       `json:"terminationGracePeriodSeconds"`
		ReadinessProbe                corev1.Probe `json:"readinessProbe"`
	} `json:"deployment"`
	HTTP struct {
		Address  string `json:"address"`
		RootPath string `json:"root_path"`
	} `json:"http"`
	Env                 []corev1.EnvVar             `json:"env"`
	EnvFrom             []corev1.EnvFromSource      `json:"envFrom"`
	ExtraVolumes        []corev1.Volume             `json:"extraVolumes"`
	ExtraVolumeMounts   []corev1.VolumeMount        `json:"extraVolumeMounts"`
	PodSecurityContext  *corev1.PodSecurityContext  `json:"podSecurityContext"`
	SecurityContext     *corev1.SecurityContext     `json:"securityContext"`
	PodDisruptionBudget map[string]any              `json:"podDisruptionBudget"`
	Resources           corev1.ResourceRequirements `json:"resources"`
}

func TestPodOfTheHelmChartIsValid(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "packaging/helm/values.yaml"))
	require.NoError(t, err)
	values := decode[chartValues](t, text)
	config, err := os.ReadFile(filepath.Join(root, "packaging/helm/kafka-to-zato.yaml"))
	require.NoError(t, err)
	assert.NotContains(t, string(config), "\nhttp:", "the chart adds this section, and it must not be there twice")
	assert.NotContains(t, string(config), "{{", "the chart takes it for a template")
	section, err := yaml.Marshal(map[string]any{"http": values.HTTP})
	require.NoError(t, err)

	_, port, _ := strings.Cut(values.HTTP.Address, ":")
	container := corev1.Container{
		Args: []string{"-c", "/benthos.yaml"}, Env: values.Env, EnvFrom: values.EnvFrom,
		Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: intstr.Parse(port).IntVal}},
		VolumeMounts:    values.ExtraVolumeMounts,
		LivenessProbe:   probeOfTheChart("/ping"),
		ReadinessProbe:  probeOfTheChart("/ready"),
		SecurityContext: values.SecurityContext,
		Resources:       values.Resources,
	}
	p := &pod{container: container, config: string(section) + string(config), spec: corev1.PodSpec{
		SecurityContext: values.PodSecurityContext, Volumes: values.ExtraVolumes,
		TerminationGracePeriodSeconds: values.Deployment.TerminationGracePeriodSeconds,
	}}
	p.check(t)
}

func probeOfTheChart(path string) *corev1.Probe {
	get := &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}
}
