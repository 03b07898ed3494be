//! What happened to alarms.

use api::cloudwatch as api;
use aws_smithy_types::DateTime;
use base::Page;
use state::Cx;
use state::cloudwatch::HistoryItem;

use crate::{Result, listing};

const LISTING: &str = "DescribeAlarmHistory";

/// Lists the history of one alarm or of all, newest first unless the request says.
pub(crate) async fn describe_alarm_history(
    cx: &Cx,
    input: api::DescribeAlarmHistoryInput,
) -> Result<api::DescribeAlarmHistoryOutput> {
    let after = listing::after(LISTING, input.next_token.clone())?;
    let alarms = cx.state.cloudwatch.alarms.walk(cx.scope(), None).map(|(_, alarm)| alarm);
    let mut items = Vec::new();
    for alarm in alarms.filter(|alarm| input.alarm_name.as_ref().is_none_or(|name| *name == alarm.name)) {
        let wanted = alarm.history.iter().enumerate().filter(|(_, item)| is_asked_for(&input, item));
        items.extend(wanted.map(|(place, item)| ((item.at, alarm.name.clone(), place), item.clone())));
    }
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    if input.scan_by != Some(api::ScanBy::TimestampAscending) {
        items.reverse();
    }
    // A page goes on after the item whose moment, alarm and place the token names.
    let key = |((at, name, place), _): &((base::Timestamp, String, usize), HistoryItem)| {
        format!("{}\n{name}\n{place}", at.as_millis())
    };
    let start = after.and_then(|after| items.iter().position(|item| key(item) == after)).map_or(0, |at| at + 1);
    let page = Page::cut(LISTING, listing::size(input.max_records), items.into_iter().skip(start), key);
    let items = page.items.into_iter().map(|((_, name, _), item)| view(name, item)).collect();
    Ok(api::DescribeAlarmHistoryOutput { alarm_history_items: Some(items), next_token: page.next })
}

fn is_asked_for(input: &api::DescribeAlarmHistoryInput, item: &HistoryItem) -> bool {
    let at = DateTime::from(item.at);
    let is_of_type =
        input.alarm_types.as_ref().is_none_or(|types| types.is_empty() || types.contains(&api::AlarmType::MetricAlarm));
    is_of_type
        && input.alarm_contributor_id.is_none()
        && input.history_item_type.as_ref().is_none_or(|kind| kind.as_str() == item.kind.as_str())
        && input.start_date.is_none_or(|start| at >= start)
        && input.end_date.is_none_or(|end| at <= end)
}

fn view(name: String, item: HistoryItem) -> api::AlarmHistoryItem {
    api::AlarmHistoryItem {
        alarm_name: Some(name),
        alarm_type: Some(api::AlarmType::MetricAlarm),
        timestamp: Some(item.at.into()),
        history_item_type: Some(item.kind.as_str().into()),
        history_summary: Some(item.summary),
        history_data: Some(item.data.as_str().to_owned()),
        ..api::AlarmHistoryItem::default()
    }
}
