package kubernetes

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// pod is a pod that runs one pipeline.
type pod struct {
	spec      corev1.PodSpec
	container corev1.Container
	config    string // the configuration of the pipeline
}

// check compares the pod with what the binary, its configuration and its image need.
func (p *pod) check(t *testing.T) {
	t.Helper()
	p.checkSecurity(t)
	p.checkEnvironment(t)
	p.checkSecretFile(t)
	grace := time.Duration(*p.spec.TerminationGracePeriodSeconds) * time.Second
	assert.Greater(t, grace, p.shutdownTimeout(t)+5*time.Second, "time to deliver the messages in flight, and to stop")
	_, port, err := net.SplitHostPort(p.metricsAddress(t))
	require.NoError(t, err)
	assert.Equal(t, port, strconv.Itoa(int(p.httpPort(t))))
	p.checkProbes(t)
}

// checkSecurity requires what the restricted standard of Kubernetes requires, and a read-only file system.
func (p *pod) checkSecurity(t *testing.T) {
	t.Helper()
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	of, in := p.spec.SecurityContext, p.container.SecurityContext
	assert.True(t, *of.RunAsNonRoot)
	assert.Contains(t, string(dockerfile), fmt.Sprintf("\nUSER %d:%d\n", *of.RunAsUser, *of.RunAsGroup))
	assert.Equal(t, *of.RunAsGroup, *of.FSGroup, "the process must be able to read the secret and to write the volume")
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, of.SeccompProfile.Type)
	assert.True(t, *in.ReadOnlyRootFilesystem)
	assert.False(t, *in.AllowPrivilegeEscalation)
	assert.Equal(t, []corev1.Capability{"ALL"}, in.Capabilities.Drop)
	assert.NotZero(t, p.container.Resources.Limits.Memory().Value())
}

// checkEnvironment requires that the configuration uses every variable.
func (p *pod) checkEnvironment(t *testing.T) {
	t.Helper()
	for _, variable := range p.container.Env {
		assert.Regexp(t, `\$\{`+variable.Name+`[:}]`, p.config, "the configuration does not use the variable")
		assert.NotContains(t, strings.ToLower(variable.Name), "secret", "secrets are files")
	}
	for _, from := range p.container.EnvFrom {
		assert.True(t, *from.SecretRef.Optional)
	}
	for _, variable := range []string{"KAFKA_USERNAME", "KAFKA_PASSWORD"} { // of the optional Secret
		assert.Contains(t, p.config, "${"+variable+":}")
	}
}

var secretFile = regexp.MustCompile(`secret_file: (\S+)`)

// checkSecretFile requires that the secret is a file of a Secret, and that Kubernetes replaces the file.
func (p *pod) checkSecretFile(t *testing.T) {
	t.Helper()
	found := secretFile.FindStringSubmatch(p.config)
	require.NotNil(t, found, "the configuration has no secret_file")
	mount := p.mountOf(t, found[1])
	assert.Equal(t, filepath.Dir(found[1]), mount.MountPath, "the keys of the Secret are files in this folder")
	assert.Empty(t, mount.SubPath, "Kubernetes does not replace a file that is mounted by itself")
	secret := p.volume(t, mount.Name).Secret
	require.NotNil(t, secret)
	assert.Equal(t, int32(0o440), *secret.DefaultMode)
	page, err := os.ReadFile(filepath.Join(root, "docs/kubernetes.md"))
	require.NoError(t, err)
	assert.Contains(t, string(page), fmt.Sprintf("kubectl create secret generic %s --from-file=%s=",
		secret.SecretName, filepath.Base(found[1])))
}

// checkProbes runs the binary with the configuration, and calls the paths of the probes. Neither Zato nor Kafka is
// there, so the pod must be alive and not ready.
func (p *pod) checkProbes(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	address := freeAddress(t)
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(secret, []byte("any"), 0o600))
	text := secretFile.ReplaceAllString(p.config, "secret_file: "+secret)
	text = strings.ReplaceAll(text, p.httpAddress(t), address)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))

	out, err := p.command(t, dir, address, "lint", "--deprecated", config).CombinedOutput()
	require.NoError(t, err, "%s", out)
	args := slices.Clone(p.container.Args)
	args[len(args)-1] = config
	cmd := p.command(t, dir, address, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	status := func(probe *corev1.Probe) int {
		assert.Equal(t, p.httpPort(t), p.port(t, probe.HTTPGet.Port))
		response, err := http.Get("http://" + address + probe.HTTPGet.Path)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	require.Eventually(t, func() bool { return status(p.container.LivenessProbe) == http.StatusOK },
		time.Minute, 20*time.Millisecond)
	assert.Equal(t, http.StatusServiceUnavailable, status(p.container.ReadinessProbe))
}

// command runs the binary with the environment of the pod. No server listens at its addresses, and its state is in dir.
func (p *pod) command(t *testing.T, dir, address string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = dir
	nobody := freeAddress(t)
	for _, variable := range p.container.Env {
		value := variable.Value
		switch {
		case variable.Name == "METRICS_ADDRESS":
			value = address
		case strings.Contains(value, "://"):
			value = "ws://" + nobody + "/zato.wsx.gateway"
		case hostPort.MatchString(value):
			value = nobody
		case filepath.IsAbs(value) && p.hasMount(value):
			value = filepath.Join(dir, filepath.Base(value))
			if filepath.Ext(value) == "" {
				require.NoError(t, os.MkdirAll(value, 0o700))
			}
		}
		cmd.Env = append(cmd.Env, variable.Name+"="+value)
	}
	return cmd
}

// hostPort matches a host with a port.
var hostPort = regexp.MustCompile(`^[a-z0-9.-]+:([0-9]+)$`)

// targetPorts returns the ports of the servers in the environment.
func (p *pod) targetPorts(t *testing.T) []int32 {
	t.Helper()
	var ports []int32
	for _, variable := range p.container.Env {
		value := variable.Value
		if address, err := url.Parse(value); err == nil && address.Port() != "" {
			value = address.Host
		}
		if found := hostPort.FindStringSubmatch(value); found != nil && variable.Name != "METRICS_ADDRESS" {
			number, err := strconv.ParseInt(found[1], 10, 32)
			require.NoError(t, err)
			ports = append(ports, int32(number))
		}
	}
	return ports
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // nothing was sent
	return listener.Addr().String()
}

// env returns the value of a variable, or "".
func (p *pod) env(name string) string {
	for _, variable := range p.container.Env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}

// variable matches an environment variable with a default.
var variable = regexp.MustCompile(`\$\{([0-9A-Z_]+):([^}]*)\}`)

// settings are the fields of the configuration that the pod depends on.
type settings struct {
	HTTP struct {
		Address string `json:"address"`
	} `json:"http"`
	ShutdownTimeout string `json:"shutdown_timeout"`
}

// settings returns the settings with the environment of the pod.
func (p *pod) settings(t *testing.T) settings {
	t.Helper()
	text := variable.ReplaceAllStringFunc(p.config, func(use string) string {
		found := variable.FindStringSubmatch(use)
		if value := p.env(found[1]); value != "" {
			return value
		}
		return found[2]
	})
	var s settings
	require.NoError(t, yaml.Unmarshal([]byte(text), &s))
	return s
}

func (p *pod) metricsAddress(t *testing.T) string {
	t.Helper()
	return p.settings(t).HTTP.Address
}

// httpAddress returns the address of the metrics as the configuration has it, with a variable or without.
func (p *pod) httpAddress(t *testing.T) string {
	t.Helper()
	var s settings
	require.NoError(t, yaml.Unmarshal([]byte(p.config), &s))
	return s.HTTP.Address
}

func (p *pod) httpPort(t *testing.T) int32 {
	t.Helper()
	require.Len(t, p.container.Ports, 1)
	return p.container.Ports[0].ContainerPort
}

// defaultShutdownTimeout is the engine's.
const defaultShutdownTimeout = 20 * time.Second

func (p *pod) shutdownTimeout(t *testing.T) time.Duration {
	t.Helper()
	text := p.settings(t).ShutdownTimeout
	if text == "" {
		return defaultShutdownTimeout
	}
	timeout, err := time.ParseDuration(text)
	require.NoError(t, err)
	return timeout
}

// findMount returns the mount that a path is on.
func (p *pod) findMount(path string) *corev1.VolumeMount {
	for i, mount := range p.container.VolumeMounts {
		if path == mount.MountPath || strings.HasPrefix(path, mount.MountPath+"/") {
			return &p.container.VolumeMounts[i]
		}
	}
	return nil
}

func (p *pod) hasMount(path string) bool { return p.findMount(path) != nil }

func (p *pod) mountOf(t *testing.T, path string) corev1.VolumeMount {
	t.Helper()
	mount := p.findMount(path)
	require.NotNil(t, mount, "no volume is mounted at %q", path)
	return *mount
}

func (p *pod) volume(t *testing.T, name string) corev1.Volume {
	t.Helper()
	for _, volume := range p.spec.Volumes {
		if volume.Name == name {
			return volume
		}
	}
	require.Fail(t, "no such volume", name)
	return corev1.Volume{}
}
