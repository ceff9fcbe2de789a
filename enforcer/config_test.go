package enforcer

import "fmt"

func ExampleConfig_Defaults() {
	var c Config
	c.Defaults()
	fmt.Println(c.Grace, c.Validate())
	// Output: 1m0s <nil>
}
