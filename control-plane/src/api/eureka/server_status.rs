//! `/status`: what a Eureka server says of itself. No client needs it; people look at it.

use axum::response::Response;

use super::Eureka;
use super::answer::Form;

impl Eureka {
    pub(super) fn server_status(&self, form: Form) -> Response {
        let form = Form { gzip: false, ..form };
        let instances = self.state.read(|model| model.registry.len());
        let text = if form.json {
            format!(
                "{{\"generalStats\":{{\"environment\":\"portreeve\",\"registered-instances\":\"{instances}\"}},\
                \"applicationStats\":{{\"registered-replicas\":\"\",\"available-replicas\":\"\",\
                \"unavailable-replicas\":\"\"}},\"isHeathly\":true}}"
            )
        } else {
            format!(
                "<com.netflix.eureka.util.StatusInfo><generalStats><environment>portreeve</environment>\
                <registered-instances>{instances}</registered-instances></generalStats><applicationStats>\
                <registered-replicas></registered-replicas></applicationStats><isHeathly>true</isHeathly>\
                </com.netflix.eureka.util.StatusInfo>"
            )
        };
        form.answer(text.into())
    }
}
