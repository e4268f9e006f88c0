package kinetelcdk

import (
	"maps"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/schema"
)

// The names of the tables. Two deliveries of an account and region need two databases.
const (
	tableName           = "kinetel"
	tableByFunctionName = "kinetel_by_function"
)

// partitionName is the column by which a partitioned delivery sorts objects. A plain
// "function" would be a reserved word in Athena.
const partitionName = "faas_name"

// addTables adds the database and the tables over the bucket. docs/consumers.md explains
// them, and deploy/cloudformation/kinetel.yaml has the same.
func (d *TelemetryDelivery) addTables(p *TelemetryDeliveryProps) {
	d.Database = awsglue.NewCfnDatabase(d.Construct, jsii.String("Database"), &awsglue.CfnDatabaseProps{
		CatalogId: awscdk.Stack_Of(d.Construct).Account(),
		DatabaseInput: &awsglue.CfnDatabase_DatabaseInputProperty{
			Name: &p.DatabaseName, Description: jsii.String("Telemetry of Lambda functions"),
		},
	})
	byDay := map[string]string{
		"EXTERNAL":                     "TRUE",
		"projection.enabled":           "true",
		"projection.day.type":          "date",
		"projection.day.format":        "yyyy/MM/dd",
		"projection.day.range":         p.FirstDay + ",NOW",
		"projection.day.interval":      "1",
		"projection.day.interval.unit": "DAYS",
	}
	d.Table = d.addTable("Table", tableName, "Events of all functions, by the day on which Firehose received them",
		byDay, "${day}/", "day")
	if p.Partitioned {
		byFunction := maps.Clone(byDay)
		byFunction["projection."+partitionName+".type"] = "injected" // a query names the function
		d.TableByFunction = d.addTable("TableByFunction", tableByFunctionName, "Events by the day on which Firehose received them, and by function",
			byFunction, "${day}/"+partitionName+"=${"+partitionName+"}/", "day", partitionName)
	}
}

// addTable adds a table whose objects are in a folder for each value of the partition
// keys.
func (d *TelemetryDelivery) addTable(id, name, description string, parameters map[string]string, folder string, keys ...string) awsglue.CfnTable {
	location := "s3://" + *d.Bucket.BucketName() + "/" + delivered
	parameters["storage.location.template"] = location + folder
	column := func(name, hiveType string) *awsglue.CfnTable_ColumnProperty {
		return &awsglue.CfnTable_ColumnProperty{Name: &name, Type: &hiveType}
	}
	var columns, partitionKeys []any
	serde := map[string]string{"case.insensitive": "false"}
	for _, c := range schema.Columns() {
		columns = append(columns, column(c.Name, c.Type))
		if c.Member != strings.ToLower(c.Member) {
			serde["mapping."+c.Name] = c.Member
		}
	}
	for _, key := range keys {
		partitionKeys = append(partitionKeys, column(key, "string"))
	}
	return awsglue.NewCfnTable(d.Construct, &id, &awsglue.CfnTableProps{
		CatalogId:    awscdk.Stack_Of(d.Construct).Account(),
		DatabaseName: d.Database.Ref(),
		TableInput: &awsglue.CfnTable_TableInputProperty{
			Name:          &name,
			Description:   &description,
			TableType:     jsii.String("EXTERNAL_TABLE"),
			Parameters:    parameters,
			PartitionKeys: partitionKeys,
			StorageDescriptor: &awsglue.CfnTable_StorageDescriptorProperty{
				Columns:      columns,
				Location:     &location,
				InputFormat:  jsii.String("org.apache.hadoop.mapred.TextInputFormat"),
				OutputFormat: jsii.String("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"),
				SerdeInfo: &awsglue.CfnTable_SerdeInfoProperty{
					SerializationLibrary: jsii.String("org.openx.data.jsonserde.JsonSerDe"),
					Parameters:           serde,
				},
			},
		},
	})
}
