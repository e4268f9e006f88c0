// Reads Kinesis records, one JSON object a line, and writes the user records of
// each as one line. The argument is the folder of aws-kinesis-agg.
const { deaggregateSync } = require(process.argv[2]);

let input = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (text) => (input += text));
process.stdin.on("end", () => {
  for (const line of input.trim().split("\n")) {
    const { partitionKey, data } = JSON.parse(line);
    const checksums = true;
    deaggregateSync({ partitionKey, data, sequenceNumber: "1" }, checksums, (err, users) => {
      if (err) throw err;
      process.stdout.write(JSON.stringify(users.map(({ partitionKey, data }) => ({ partitionKey, data }))) + "\n");
    });
  }
});
