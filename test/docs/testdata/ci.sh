# A function of your own, in a folder of its own, with the page's test.
before() {
	export KINETEL_REPOSITORY=$PWD
	mkdir -p "$WORK/orders/cmd/orders"
	cp examples/function/*.go "$WORK/orders/cmd/orders" && rm "$WORK"/orders/cmd/orders/*_test.go
	mv "$WORK/orders_test.go" "$WORK/orders/"
	cd "$WORK/orders"
	go mod init orders
	go get "github.com/aws/aws-lambda-go@$(cd "$KINETEL_REPOSITORY" && go list -m -f '{{.Version}}' github.com/aws/aws-lambda-go)"
}
