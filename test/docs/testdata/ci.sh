# A function of your own, in a folder of its own, with the page's test; and a repository to
# clone, with this source as it is, committed or not.
before() {
	export KINETEL_REPOSITORY=$WORK/source
	mkdir -p "$KINETEL_REPOSITORY" "$WORK/orders/cmd/orders"
	git ls-files -coz --exclude-standard | tar --null --ignore-failed-read -T - -cf - | tar xf - -C "$KINETEL_REPOSITORY"
	git -C "$KINETEL_REPOSITORY" init -q
	git -C "$KINETEL_REPOSITORY" add -A
	git -C "$KINETEL_REPOSITORY" -c user.name=docs -c user.email=docs@example.com commit -qm source
	cp examples/function/*.go "$WORK/orders/cmd/orders" && rm "$WORK"/orders/cmd/orders/*_test.go
	mv "$WORK/orders_test.go" "$WORK/orders/"
	local lambda
	lambda=$(go list -m -f '{{.Version}}' github.com/aws/aws-lambda-go)
	cd "$WORK/orders"
	go mod init orders
	go get "github.com/aws/aws-lambda-go@$lambda"
}
