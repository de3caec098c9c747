package output_test

import (
	"testing"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }
