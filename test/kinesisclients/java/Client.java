import java.net.URI;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/** Does what ordinary readers and producers do, and prints what it got. */
public class Client {
  public static void main(String[] args) throws Exception {
    String stream = args[0];
    try (KinesisClient c = KinesisClient.create()) {
      c.createStream(b -> b.streamName(stream).shardCount(1).tags(Map.of("team", "a")));
      c.waiter().waitUntilStreamExists(b -> b.streamName(stream));
      byte[] data = new byte[256];
      for (int i = 0; i < data.length; i++) data[i] = (byte) i;
      PutRecordsResponse put =
          c.putRecords(
              b ->
                  b.streamName(stream)
                      .records(
                          r -> r.partitionKey("a").data(SdkBytes.fromByteArray(data)),
                          r -> r.partitionKey("\u00e9").data(SdkBytes.fromUtf8String("two"))));
      System.out.println("put: " + put.records().size() + ", failed " + put.failedRecordCount());
      StreamDescriptionSummary d = c.describeStreamSummary(b -> b.streamName(stream)).streamDescriptionSummary();
      System.out.println("stream: " + d.streamStatusAsString() + ", recent " + recent(d.streamCreationTimestamp()));
      System.out.println("shards: " + c.listShards(b -> b.streamName(stream)).shards().size());
      String at =
          c.getShardIterator(
                  b ->
                      b.streamName(stream)
                          .shardId("shardId-000000000000")
                          .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                          .timestamp(d.streamCreationTimestamp().minusSeconds(60)))
              .shardIterator();
      for (software.amazon.awssdk.services.kinesis.model.Record r : c.getRecords(b -> b.shardIterator(at)).records()) {
        print(r);
      }
      for (Tag t : c.listTagsForStream(b -> b.streamName(stream)).tags()) {
        System.out.println("tag: " + t.key() + "=" + t.value());
      }
      try {
        c.describeStream(b -> b.streamName("missing"));
      } catch (ResourceNotFoundException e) {
        System.out.println("error: " + e.awsErrorDetails().errorMessage());
      }
      String consumer =
          c.registerStreamConsumer(b -> b.streamARN(d.streamARN()).consumerName("tail")).consumer().consumerARN();
      subscribe(consumer);
    }
  }

  static boolean recent(java.time.Instant t) {
    return Math.abs(System.currentTimeMillis() - t.toEpochMilli()) < 600_000;
  }

  static void print(software.amazon.awssdk.services.kinesis.model.Record r) {
    System.out.println(
        "record: " + r.partitionKey() + ", " + r.data().asByteArray().length + " bytes, recent "
            + recent(r.approximateArrivalTimestamp()));
  }

  static void subscribe(String consumer) throws Exception {
    try (KinesisAsyncClient c = KinesisAsyncClient.create()) {
      CompletableFuture<Void> first = new CompletableFuture<>();
      SubscribeToShardResponseHandler handler =
          SubscribeToShardResponseHandler.builder()
              .onError(first::completeExceptionally)
              .subscriber(
                  e -> {
                    if (e instanceof SubscribeToShardEvent && !first.isDone()) {
                      System.out.println("subscribed:");
                      ((SubscribeToShardEvent) e).records().forEach(Client::print);
                      first.complete(null);
                    }
                  })
              .build();
      c.subscribeToShard(
          b ->
              b.consumerARN(consumer)
                  .shardId("shardId-000000000000")
                  .startingPosition(p -> p.type(ShardIteratorType.TRIM_HORIZON)),
          handler);
      first.get(30, TimeUnit.SECONDS);
    }
  }
}
