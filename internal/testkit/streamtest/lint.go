package streamtest

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// LintExamples lints every example in the specification of a component. The walk
// function is that of the component's kind, such as an environment's WalkInputs. It
// fails the test if there are no examples.
func LintExamples(t *testing.T, name string, walk func(func(string, *service.ConfigView))) {
	t.Helper()
	linted := 0
	linter := service.NewEnvironment().FullConfigSchema("", "").NewStreamConfigLinter()
	walk(func(component string, view *service.ConfigView) {
		if component != name {
			return
		}
		data, err := view.TemplateData()
		require.NoError(t, err)
		for _, e := range data.Examples {
			lints, err := linter.LintYAML([]byte(e.Config))
			require.NoError(t, err, e.Title)
			assert.Empty(t, lints, e.Title)
			linted++
		}
	})
	assert.Positive(t, linted, "the specification has no examples")
}
