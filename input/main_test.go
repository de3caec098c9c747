package input_test

import (
	"testing"

	"github.com/zato-connect/zato-connect/internal/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }
