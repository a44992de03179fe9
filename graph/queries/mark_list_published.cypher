// Remember that a list has been handed to Kafka. Parameters: list_key, list_id. Result: none.
MATCH (l:FollowUpList {list_key: $list_key})
SET l.published_id = $list_id
