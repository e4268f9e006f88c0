before() {
	make_function orders
	command aws logs create-log-group --log-group-name /aws/lambda/orders
}
