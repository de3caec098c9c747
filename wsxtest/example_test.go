package wsxtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// A client invokes a service of the server.
func Example() {
	server := wsxtest.NewServer(wsxtest.WithService("demo.echo", wsxtest.Echo))
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	client, err := wsx.New(wsx.Config{
		Address: server.URL("/zato.wsx.gateway"), Username: "user1", Secret: "secret1",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // the example ends

	response, err := client.Invoke(context.Background(), "demo.echo", map[string]string{"item": "apple"})
	if err != nil {
		log.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, response); err != nil {
		log.Fatal(err)
	}
	fmt.Println(compact.String(), server.Invocations("demo.echo"))
	// Output: {"item":"apple"} 1
}
