package composefile_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/stretchr/testify/require"
)

// hostile are files that must be refused, with what the error says.
func hostile() map[string][2]string {
	service := func(s string) string { return "services:\n  web:\n    image: nginx\n" + s }
	bomb := "services: {web: {image: nginx}}\nx-a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("x-a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return map[string][2]string{
		"an empty file":                       {"", "the file is empty"},
		"no YAML":                             {"services: [", "no YAML"},
		"a tab as indentation":                {"services:\n\tweb: x", "no YAML"},
		"a list at the top":                   {"- a\n", "the top level is no mapping"},
		"a second document":                   {service("") + "---\na: b\n", "a second document"},
		"50 MB":                               {strings.Repeat("# padding\n", 5<<20), "more than 4 MiB"},
		"four MiB of brackets":                {strings.Repeat("[", 3<<20), "too many entries"},
		"a million empty lists":               {"a: [" + strings.Repeat("[],", 1<<20) + "]", "too many entries"},
		"an alias bomb":                       {bomb, "more than 200000 nodes"},
		"an anchor that holds itself":         {"a: &a [*a]\n", "anchor"},
		"deep nesting":                        {"a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested more than 64 deep"},
		"a key twice":                         {service("    image: httpd\n"), `key "image" stands already in line 3`},
		"a service twice":                     {service("") + "  web: {image: x}\n", `key "web" stands already in line 2`},
		"a key that is a list":                {"[a, b]: c\n", "a key that is no text"},
		"a custom tag":                        {service("    ports: !reset []\n"), "tag !reset"},
		"no services":                         {"volumes: {a: }\n", "there are no services"},
		"an unknown field":                    {service("    imagee: x\n"), "imagee"},
		"an unknown section":                  {service("") + "servicess: {}\n", "servicess"},
		"a service that is a text":            {"services: {web: nginx}\n", "web"},
		"services that are a list":            {"services: [web]\n", "services"},
		"ports that are a mapping":            {service("    ports: {80: 80}\n"), "ports"},
		"a port that is a word":               {service("    ports: [http]\n"), "http"},
		"a port beyond 65535":                 {service("    ports: ['70000:70000']\n"), "70000"},
		"port zero":                           {service("    ports: ['80:0']\n"), "port"},
		"a range of all ports":                {service("    ports: ['1-65535:1-65535']\n"), "more than 100 ports"},
		"a range of all ports by default":     {service("    ports: ['${P:-1-65535}']\n"), "more than 100 ports"},
		"an exposed word":                     {service("    expose: [http]\n"), "is no port"},
		"no image":                            {"services: {web: {restart: always}}\n", "neither an image nor a build context"},
		"a build without image":               {"services: {web: {build: .}}\n", `give Options.Images["web"]`},
		"an unknown dependency":               {service("    depends_on: [db]\n"), `undefined service "db"`},
		"a cycle of dependencies":             {"services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "cycle"},
		"a cycle of extends":                  {"services: {a: {image: x, extends: b}, b: {extends: a}}", "a circle"},
		"an undeclared volume":                {service("    volumes: ['data:/data']\n"), "undefined volume data"},
		"an undeclared secret":                {service("    secrets: [key]\n"), "undefined secret key"},
		"an undeclared config":                {service("    configs: [key]\n"), "undefined config key"},
		"an undeclared network":               {service("    networks: [net]\n"), "undefined network net"},
		"a bind out of the directory":         {service("    volumes: ['../../etc/passwd:/x']\n"), "leads out of the directory"},
		"a bind out of it, hidden":            {service("    volumes: ['./a/../../etc/passwd:/x']\n"), "leads out of the directory"},
		"a bind out of it by a variable":      {service("    volumes: ['${P:-../x}:/x']\n"), "leads out of the directory"},
		"a relative target":                   {service("    volumes: ['./a:b']\n"), "is no absolute path"},
		"the root as target":                  {service("    volumes: ['./a:/']\n"), "is no absolute path"},
		"an env_file out of the directory":    {service("    env_file: ../../.env\n"), "leads out of the directory"},
		"an absolute env_file":                {service("    env_file: /etc/passwd\n"), "leads out of the directory"},
		"an env_file that is none":            {service("    env_file: broken.env\n"), "write lines of NAME=value"},
		"a secret out of the directory":       {service("    secrets: [s]\n") + "secrets: {s: {file: ../../etc/shadow}}\n", "leads out of the directory"},
		"a secret at a path with dots":        {service("    secrets: [{source: s, target: ../../etc/passwd}]\n") + "secrets: {s: {environment: S}}\n", "without .."},
		"a config out of the directory":       {service("    configs: [s]\n") + "configs: {s: {file: /etc/shadow}}\n", "leads out of the directory"},
		"an include out of the directory":     {service("") + "include: [../other.yaml]\n", "leads out of the directory"},
		"an include from the network":         {service("") + "include: ['https://example.com/x.yaml']\n", "not on this machine"},
		"an include that is not there":        {service("") + "include: [nothing.yaml]\n", "not among the companions"},
		"an include of itself":                {service("") + "include: [loop.yaml]\n", "files go in a circle"},
		"extends out of the directory":        {service("    extends: {file: ../x.yaml, service: a}\n"), "leads out of the directory"},
		"extends what is not there":           {service("    extends: {file: loop.yaml, service: nobody}\n"), "nobody"},
		"a variable that is required":         {service("    command: ${CMD:?say what to run}\n"), "say what to run"},
		"a broken variable":                   {service("    command: ${\n"), "Invalid template"},
		"variables nested deep":               {service("    command: " + strings.Repeat("${A:-", 20) + strings.Repeat("}", 20) + "\n"), "nested too deep"},
		"a variable in the image, not given":  {"services: {web: {image: 'x:${TAG}'}}", "nobody gave TAG"},
		"a health check of another kind":      {service("    healthcheck: {test: [RUN, x]}\n"), "healthcheck.test"},
		"a duration without sense":            {service("    stop_grace_period: soon\n"), "soon"},
		"a negative number of replicas":       {service("    scale: -1\n"), "greater than or equal to 0"},
		"a million replicas":                  {service("    scale: 1000000\n"), "10000"},
		"a size without sense":                {service("    mem_limit: lots\n"), "lots"},
		"a variable that has no name":         {service("    environment: ['=x']\n"), "is no name of a variable"},
		"a merge of a text":                   {"services:\n  web: {<<: x, image: nginx}\n", "merges what is no mapping"},
		"too many services":                   {"services:\n" + manyServices(2001), "2001 services"},
		"a file that is too large for a pod":  {service("    volumes: ['./huge.bin:/x']\n"), "larger than 900 KiB"},
		"an environment that is no text":      {service("    environment: {A: [b]}\n"), "environment"},
		"a mode that is no number":            {service("    secrets: [{source: s, mode: rw}]\n") + "secrets: {s: {environment: S}}\n", "rw"},
		"an unknown condition":                {service("    depends_on: {web2: {condition: happy}}\n") + "  web2: {image: x}\n", "condition"},
		"a service name with a slash":         {"services: {a/b: {image: x}}", "a/b"},
		"an image that is no image":           {"services: {web: {image: 'a b c'}}", "is not an image"},
		"an image in capitals":                {"services: {web: {image: 'Shop/Web'}}", "must be lowercase"},
		"an image with an endless name":       {"services: {web: {image: 'example.com/" + strings.Repeat("a", 256) + ":1'}}", "repository name must not be more than 255 characters"},
		"an image with an endless tag":        {"services: {web: {image: 'a:" + strings.Repeat("a", 129) + "'}}", "is not an image"},
		"an image with half a digest":         {"services: {web: {image: 'a@sha256:abc'}}", "is not an image"},
		"a number for the name of the domain": {service("    hostname: [a]\n"), "hostname"},
	}
}

func manyServices(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  s%d: {image: x}\n", i)
	}
	return b.String()
}

func companionsOfHostile() fstest.MapFS {
	return fstest.MapFS{
		"broken.env":   {Data: []byte("A='never closed\n")},
		"loop.yaml":    {Data: []byte("include: [loop.yaml]\nservices: {x: {image: y}}\n")},
		"huge.bin":     {Data: make([]byte, 1<<20)},
		"compose.yaml": {Data: []byte("services: {a: {image: x}}")},
	}
}

func TestHostileFilesAreRefusedWithAClearErrorInBoundedMemory(t *testing.T) {
	cases := hostile()
	require.GreaterOrEqual(t, len(cases), 25)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			app, report, err := composefile.Import(t.Context(), []byte(c[0]), &composefile.Options{Files: companionsOfHostile()})
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, c[1])
			require.Nil(t, app)
			require.Nil(t, report)
			require.Less(t, len(err.Error()), 32<<10)
			if !strings.Contains(c[1], "more than 4 MiB") && !strings.Contains(c[1], "too many entries") && c[0] != "" {
				require.Regexp(t, `(^| )compose.yaml:[1-9]\d*:[1-9]`, err.Error(), "no position")
			}
			require.NotRegexp(t, `invalid compose project|see the Compose spec|: :`, err.Error())
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512<<20), "bytes allocated")
		})
	}
}

func TestErrorsSayWhere(t *testing.T) {
	t.Parallel()
	_, _, err := composefile.Import(t.Context(), []byte("services:\n  web:\n    image: x\n    volumes:\n      - ../x:/y\n  api:\n    build: .\n"),
		&composefile.Options{File: "shop.compose.yaml"})
	require.ErrorContains(t, err, `shop.compose.yaml:5:9: services.web.volumes["/y"]: "../x" leads out of the directory`)
	require.ErrorContains(t, err, `shop.compose.yaml:7:12: services.api.build: nobody says which image the build makes`)
	web := func(attribute string) string {
		return "services:\n  web:\n    image: x\n    " + attribute + "\n  x.y: {image: x}\n"
	}
	for text, want := range map[string]string{
		web("imagee: y"):                                    "4:13: services.web.imagee: unknown field; remove it",
		web("ports: ['99999:80']"):                          "4:13: services.web.ports[0]: Invalid hostPort: 99999; write host:container",
		web("healthcheck: {interval: banana}"):              `4:29: services.web.healthcheck.interval: time: invalid duration "banana"; write a number with its unit`,
		web("deploy: {replicas: -1}"):                       "4:24: services.web.deploy.replicas: must be greater than or equal to 0; write a larger number",
		web("scale: x"):                                     `4:12: services.web.scale: "x" is no number`,
		web("depends_on: [x.y, db]"):                        `4:23: services.web.depends_on.db: undefined service "db"; add the service`,
		web("depends_on: {x.y: {condition: c}}"):            "4:35: services.web.depends_on.x.y.condition: value must be one of",
		web("volumes: ['a:/a', {type: volume, source: b}]"): "services.web.volumes",
		web("secrets: [{source: s}]"):                       "4:15: services.web.secrets.s: undefined secret s; declare it under secrets:",
		web("command: 5"):                                   "4:14: services.web.command: it is of the wrong type; write a text, or a list of texts",
		"services: 5":                                       "1:11: services: must be a mapping; write name: value lines",
		"services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}": "depends_on",
		"services: {a: {image: x}}\ninclude: [../x]":                                 `2:11: include[0]: "../x" leads out of the directory`,
		"\x00\x01":                               "1:1: no YAML: control characters are not allowed",
		"services:\n  web:\n    image: ${IMG}\n": "3:12: services.web.image: IMG is unset; set it in Options.Environment",
		"services:\n  web:\n    image: ''\n":     "3:12: services.web.image: it is empty; name an image",
		"services:\n  web: {image: x, secrets: [a]}\n  b: &b {image: x}\n  c: {<<: *b, networks: [n]}\n": "",
	} {
		_, _, err := composefile.Import(t.Context(), []byte(text), nil)
		require.ErrorContains(t, err, "compose.yaml:", text)
		require.ErrorContains(t, err, want, text)
	}
}
