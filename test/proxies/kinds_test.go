package proxies_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// kind is a kind of proxy.
type kind struct {
	name     string
	language string // of its block in docs/proxies.md
	programs []string
	// prepare completes the configuration of the page. It returns the command line.
	prepare func(p *proxy, page string) []string
	// reload reloads the configuration.
	reload func(p *proxy) error
	// reloaded is a text that the log has once more after each reload, if any.
	reloaded string
	// cutsAtReload says that a reload ends the connections.
	cutsAtReload bool
	// hasIdleLimit says that the proxy ends a connection without traffic.
	hasIdleLimit bool
}

func kinds() []kind {
	return []kind{
		{
			name: "nginx", language: "nginx", programs: []string{"nginx"}, hasIdleLimit: true,
			prepare:  prepareNginx,
			reload:   func(p *proxy) error { return p.process.Signal(syscall.SIGHUP) },
			reloaded: "reconfiguring",
		},
		{
			name: "HAProxy", language: "haproxy", programs: []string{"haproxy"}, hasIdleLimit: true,
			prepare:  prepareHAProxy,
			reload:   func(p *proxy) error { return p.process.Signal(syscall.SIGUSR2) },
			reloaded: "Loading success",
		},
		{
			name: "Apache", language: "apache", programs: []string{"apache2", "httpd"}, hasIdleLimit: true,
			prepare:  prepareApache,
			reload:   func(p *proxy) error { return p.process.Signal(syscall.SIGUSR1) },
			reloaded: "resuming normal operations",
		},
		{
			name: "Caddy", language: "caddyfile", programs: []string{"caddy"}, cutsAtReload: true,
			prepare: prepareCaddy,
			reload:  reloadCaddy,
		},
	}
}

// proxy is a proxy that runs in front of a server.
type proxy struct {
	kind

	t       *testing.T
	program string
	dir     string // its files
	addr    string // where it listens
	admin   string // where Caddy takes commands
	log     *logtest.Buffer
	process *os.Process
	ended   chan struct{}
}

// find returns the path of the program, or skips the test.
func (k *kind) find(t *testing.T) string {
	t.Helper()
	for _, program := range k.programs {
		for _, path := range []string{program, "/usr/sbin/" + program} { // not in everybody's PATH
			if found, err := exec.LookPath(path); err == nil {
				return found
			}
		}
	}
	t.Skipf("%s is not installed: no program %s", k.name, strings.Join(k.programs, " or "))
	return ""
}

// limits are durations of a proxy's configuration: the limit of an idle connection, that of
// HAProxy, and other ones.
type limits struct{ idle, tunnel, other string }

// Limits of the page, and of tests that cannot wait for them.
var (
	pageLimits  = limits{"90s", "1h", "30s"}
	shortLimits = limits{"2s", "2s", "1s"}
)

// startProxy starts a proxy in front of a server, with the configuration of the page.
func startProxy(t *testing.T, k kind, server string, cert certificate, limits limits) *proxy {
	t.Helper()
	p := &proxy{
		kind: k, t: t, program: k.find(t), dir: t.TempDir(), log: &logtest.Buffer{},
		addr: streamtest.FreeAddress(t), admin: streamtest.FreeAddress(t),
	}
	cert.write(t, p.dir)
	_, port, err := net.SplitHostPort(p.addr)
	require.NoError(t, err)
	page := strings.NewReplacer(
		"127.0.0.1:48902", server,
		"/etc/ssl/zato", p.dir,
		"listen 443", "listen "+p.addr,
		"bind :443", "bind "+p.addr,
		"*:443", "127.0.0.1:"+port,
		"zato.example.com {", "https://"+p.addr+" {\n\ttls "+p.file("cert.pem")+" "+p.file("key.pem"),
		"90s", limits.idle, "ProxyTimeout 90", "ProxyTimeout "+strings.TrimSuffix(limits.idle, "s"),
		"1h", limits.tunnel, "30s", limits.other,
	).Replace(pageBlock(t, k.language))
	args := k.prepare(p, page)
	p.start(args)
	return p
}

// pageBlock returns the first block of docs/proxies.md in a language.
func pageBlock(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "proxies.md"))
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, found, "docs/proxies.md has no block in %s", language)
	return string(found[1])
}

func (p *proxy) file(name string) string { return filepath.Join(p.dir, name) }

// writeFile writes the configuration and returns its path.
func (p *proxy) writeFile(text string) string {
	p.t.Helper()
	path := p.file("configuration")
	require.NoError(p.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// start starts the process and waits until it listens. The process ends with the test.
func (p *proxy) start(args []string) {
	p.t.Helper()
	p.ended = make(chan struct{})
	cmd := exec.CommandContext(context.WithoutCancel(p.t.Context()), p.program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = p.log, p.log, p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir)
	endWithParent(cmd)
	started := make(chan error)
	go func() {
		// The kernel sends the signal of endWithParent when the thread that started the
		// process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log has the reason
		}
	}()
	require.NoError(p.t, <-started)
	p.process = cmd.Process
	p.t.Cleanup(p.stop)
	require.Eventually(p.t, p.listens, 20*time.Second, 20*time.Millisecond, "%s does not listen", p.name)
}

func (p *proxy) listens() bool {
	select {
	case <-p.ended:
		return false
	default:
	}
	conn, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.addr)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	return err == nil
}

// stop ends the process and its workers.
func (p *proxy) stop() {
	if err := p.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.process.Kill()
		<-p.ended
		p.t.Errorf("%s did not end and was killed", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("the log of %s:\n%s", p.name, p.logText())
	}
}

// logText returns what the proxy logged.
func (p *proxy) logText() string {
	text, _ := os.ReadFile(p.file("error.log")) // only some have it
	return p.log.String() + string(text)
}

// reloadAndWait reloads the configuration and waits until it is in use.
func (p *proxy) reloadAndWait() {
	p.t.Helper()
	before := strings.Count(p.logText(), p.reloaded)
	require.NoError(p.t, p.reload(p))
	if p.reloaded == "" {
		return
	}
	require.Eventually(p.t, func() bool { return strings.Count(p.logText(), p.reloaded) > before },
		30*time.Second, 20*time.Millisecond, "%s did not reload", p.name)
}

func prepareNginx(p *proxy, page string) []string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	var temp strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s;\n", name, p.file(name))
	}
	config := p.writeFile(fmt.Sprintf(
		"daemon off;\n%spid %s;\nerror_log %s notice;\nevents {}\nhttp {\naccess_log off;\n%s\n%s}\n",
		user, p.file("pid"), p.file("error.log"), temp.String(), page))
	return []string{"-p", p.dir, "-e", p.file("error.log"), "-c", config}
}

func prepareHAProxy(p *proxy, page string) []string {
	return []string{"-W", "-f", p.writeFile(page)}
}

// apacheModules are the modules that the configuration needs. Some builds contain some of
// them.
var apacheModules = []string{
	"mpm_event", "unixd", "authz_core", "socache_shmcb", "proxy", "proxy_http", "ssl", "http2",
}

func prepareApache(p *proxy, page string) []string {
	var modules strings.Builder
	for _, module := range apacheModules {
		for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"} {
			path := filepath.Join(dir, "mod_"+module+".so")
			if _, err := os.Stat(path); err == nil {
				fmt.Fprintf(&modules, "LoadModule %s_module %s\n", module, path)
				break
			}
		}
	}
	if !strings.Contains(modules.String(), "proxy_http_module") {
		p.t.Skip("Apache is not installed: no module mod_proxy_http.so")
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "User #65534\nGroup #65534\n"
	}
	config := p.writeFile(fmt.Sprintf(
		"ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nServerName localhost\nPidFile %[1]s/pid\nErrorLog %[1]s/error.log\n"+
			"Listen %[2]s\n%[3]s%[4]sTimeout 1\n%[5]s", p.dir, p.addr, modules.String(), user, page))
	return []string{"-DFOREGROUND", "-f", config}
}

func prepareCaddy(p *proxy, page string) []string {
	options := fmt.Sprintf("{\n\tadmin %s\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n", p.admin)
	return []string{"run", "--adapter", "caddyfile", "--config", p.writeFile(options + page)}
}

// reloadCaddy returns when Caddy has loaded the configuration again. Without a change it
// would do nothing.
func reloadCaddy(p *proxy) error {
	cmd := exec.CommandContext(p.t.Context(), p.program,
		"reload", "--force", "--adapter", "caddyfile", "--config", p.file("configuration"), "--address", p.admin)
	cmd.Env = append(os.Environ(), "HOME="+p.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("caddy reload: %w: %s", err, out)
	}
	return nil
}
